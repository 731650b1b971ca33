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
    /// A change was heard of and not looked at yet: whoever waited for [`Watched::changed`] gave up meanwhile.
    heard: bool,
    current: Secret,
}

impl Engine {
    /// Resolves a reference and keeps an eye on it. A payload that is watched is not evicted.
    pub async fn watch(self: &Arc<Self>, reference: &Reference) -> Result<Watched, Error> {
        // Subscribed before the first look: a change in between is heard of, and found to be none if it is.
        let changes = self.cell(reference).await?.subscribe();
        let current = self.resolve(reference).await?;
        let (engine, reference) = (Arc::clone(self), reference.clone());
        Ok(Watched { engine, reference, changes, heard: false, current })
    }
}

impl Watched {
    /// The secret as it was when the handle was made or when [`Watched::changed`] last returned.
    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// Waits until the secret differs from [`Watched::current`], and returns the new one. A payload that changed
    /// in another member wakes nobody. May be dropped at any time, as `select!` does, without missing a change.
    pub async fn changed(&mut self) -> Result<&Secret, Error> {
        loop {
            if !self.heard && self.changes.changed().await.is_err() {
                // The cell is gone only with the engine, and we hold that.
                std::future::pending::<()>().await;
            }
            self.heard = true;
            let secret = self.engine.resolve(&self.reference).await;
            self.heard = false;
            let secret = secret?;
            if secret != self.current {
                self.current = secret;
                return Ok(&self.current);
            }
        }
    }
}
