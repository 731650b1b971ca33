//! vaultref

pub mod dotenv;
pub mod render;
