//! vaultref-testkit
