//! The backend `hcv` against a real OpenBao server, through the engine.

#![expect(clippy::unwrap_used, reason = "a step that fails has failed the test")]

mod faults;
mod kv;
mod leases;
mod login;
mod states;
mod support;
mod tls;
mod tokens;
