//! Who this machine or program is to others: identities that clouds give out.

#[cfg(feature = "aws")]
pub(crate) mod aws;
pub(crate) mod metadata;
