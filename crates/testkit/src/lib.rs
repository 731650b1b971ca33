//! What the tests of this workspace share. For development only: nothing that ships depends on it.
//!
//! - [`cases`] runs the command line against case files: arguments in, output, status and files out;
//! - [`conformance`] holds a backend against its scenarios, through the engine;
//! - [`vectors`] are rows observed on Kong: what a reference, the `env` vault and a configuration mean there;
//! - [`postgres`] is a real PostgreSQL server on a free port;
//! - [`openbao`] is a real OpenBao server, which speaks the API of HashiCorp Vault;
//! - [`peer`] says over HTTP what no real server can be made to say;
//! - [`certificates`] are made by an authority of a test's own;
//! - [`proxy`] stands before a server, counts what passes, and keeps it from passing.
//!
//! What goes wrong in here panics: the caller is a test.

pub mod cases;
pub mod certificates;
pub mod conformance;
pub mod openbao;
pub mod peer;
pub mod postgres;
pub mod proxy;
pub mod vectors;

mod guard;
mod http;
mod process;
mod tools;
