//! A handle on a secret that may change while the program runs.

use std::sync::Arc;

use tokio::sync::watch;
use vaultref_core::{Error, Reference, Secret};

use crate::Engine;

/// The present secret of a reference, and word of each change. Made by [`Engine::watch`].
pub struct Watched {
    engine: Arc<Engine>,
    reference: Reference,
    changes: watch::Receiver<u64>,
    current: Secret,
}

impl Engine {
    /// Resolves a reference and keeps an eye on it. A payload that is watched is not evicted.
    pub async fn watch(self: &Arc<Self>, reference: &Reference) -> Result<Watched, Error> {
        let changes = self.cell(reference).await?.subscribe();
        let current = self.resolve(reference).await?;
        let mut watched =
            Watched { engine: Arc::clone(self), reference: reference.clone(), changes, current };
        watched.changes.mark_unchanged();
        Ok(watched)
    }
}

impl Watched {
    /// The secret as it was when the handle was made or when [`Watched::changed`] last returned.
    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// Waits until the secret differs from [`Watched::current`], and returns the new one. A payload that changed
    /// in another member wakes nobody.
    pub async fn changed(&mut self) -> Result<&Secret, Error> {
        loop {
            if self.changes.changed().await.is_err() {
                // The cell is gone only with the engine, and we hold that.
                std::future::pending::<()>().await;
            }
            let secret = self.engine.resolve(&self.reference).await?;
            if secret != self.current {
                self.current = secret;
                return Ok(&self.current);
            }
        }
    }
}
