//! vaultref-backends
