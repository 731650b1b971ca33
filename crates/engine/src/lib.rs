//! vaultref
