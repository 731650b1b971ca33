//! Who this machine or program is to others: identities that clouds give out.

pub(crate) mod metadata;
