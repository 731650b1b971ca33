//! Keeps one token per vault: one login however many ask, renewed before it ends, made anew when the server forgot it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};
use vaultref_core::{Clock, Error, ErrorKind, Moment, Secret};

use super::api::{Api, Auth};
use super::auth::{Login, Method};
use crate::http::Repeat;

/// A token that was found to be good is not doubted again for so long, whatever else is denied.
const TRUSTED_FOR: Duration = Duration::from_secs(30);
/// A token that was refused leads to a new login no more often than this: one that helps nothing is not repeated.
const RELOGIN_EVERY: Duration = Duration::from_secs(10);
/// After a renewal that did not get through, so much of what is left of the token passes before the next.
const RETRY_PART: u32 = 3;
/// How long after its first use a token that was given is renewed: a program that runs once never does that.
const GIVEN_RENEWED_AFTER: Duration = Duration::from_secs(60);
/// No two renewals follow each other faster.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// The login of one vault.
pub(super) struct Session(Arc<Inner>);

struct Inner {
    api: Arc<Api>,
    method: Box<dyn Method>,
    clock: Arc<dyn Clock>,
    /// Held by whoever logs in or renews.
    flight: Arc<tokio::sync::Mutex<Flight>>,
    /// How many logins and renewals have ended, however they did.
    attempts: AtomicU64,
    current: Mutex<Option<Arc<Token>>>,
    renewer: OnceLock<AbortHandle>,
}

/// What those who wait for a login have to know.
struct Flight {
    logins: u64,
    /// How the last attempt failed, if it did.
    failed: Option<Error>,
    /// The token, by its number, that was found to be good, and until when that is believed.
    trusted: Option<(u64, Moment)>,
    relogin_at: Moment,
}

/// How a token that was refused stands with the server.
enum Standing {
    /// It is known: what was asked for is denied to it.
    Good,
    /// It is not known.
    Bad,
    /// It would cost too much to find out.
    Unknown,
}

/// What is of interest of a token that was looked up.
#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    num_uses: u64,
}

/// A token, and how long it lives.
pub(super) struct Token {
    pub secret: Secret,
    /// Counts the logins: tells one token from the one before it.
    pub number: u64,
    /// Names the token in logs; empty where there is none.
    pub accessor: String,
    pub policies: Vec<String>,
    /// Whether the login was ours: then the token is ours to renew and to revoke.
    pub ours: bool,
    /// Whether its number of uses is limited: then none is spent on anything but what was asked for.
    pub limited: bool,
    /// How often it may still be used, where that is known and limited.
    uses_left: Option<AtomicU64>,
    renewable: bool,
    renew_at: Moment,
    pub ends_at: Moment,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("method", &self.0.method).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(renewer) = self.renewer.get() {
            renewer.abort();
        }
    }
}

impl Session {
    pub(super) fn new(api: Arc<Api>, method: Box<dyn Method>, clock: Arc<dyn Clock>) -> Self {
        let flight = Flight { logins: 0, failed: None, trusted: None, relogin_at: Moment::START };
        let flight = Arc::new(tokio::sync::Mutex::new(flight));
        let (attempts, current, renewer) = Default::default();
        Self(Arc::new(Inner { api, method, clock, flight, attempts, current, renewer }))
    }

    /// The token to ask with: the present one, or that of a login which all who ask at the time share.
    pub(super) async fn token(&self) -> Result<Arc<Token>, Error> {
        self.0.token().await
    }

    /// The token as it is, without a login.
    pub(super) fn present(&self) -> Option<Arc<Token>> {
        self.0.present()
    }

    /// What to do when the server answered 403 to this token: another token to try, or an error that says what is
    /// wrong. All whose token was refused at the same time share one look and one login.
    pub(super) async fn refused(&self, token: &Token) -> Result<Arc<Token>, Error> {
        let mut flight = Arc::clone(&self.0.flight).lock_owned().await;
        if let Some(present) = self.0.present().filter(|present| present.number != token.number) {
            return Ok(present);
        }
        let now = self.0.clock.now();
        if flight.trusted.is_some_and(|(number, until)| number == token.number && now < until) {
            return Err(denied());
        }
        match self.0.standing(token).await? {
            Standing::Good => {
                flight.trusted = Some((token.number, now.after(TRUSTED_FOR)));
                return Err(denied());
            }
            Standing::Bad if !self.0.method.can_repeat() => return Err(forgotten()),
            Standing::Unknown if !self.0.method.can_repeat() => return Err(denied()),
            // A token that can be used a few times only may simply be used up.
            _ if now < flight.relogin_at && !token.limited => return Err(denied()),
            _ => {}
        }
        flight.relogin_at = now.after(RELOGIN_EVERY);
        info!(accessor = token.accessor, "the server does not know the token any more: logging in anew");
        self.0.forget(token);
        let present = self.0.in_peace(flight, None).await?;
        // A file may still hold the token that was refused.
        if present.secret == token.secret { Err(forgotten()) } else { Ok(present) }
    }

    /// Ends the token, if it is one of ours; the server then ends all that was lent to it.
    pub(super) async fn end(&self) {
        let Some(token) = self.present().filter(|token| token.ours && !token.limited) else { return };
        // A batch token has no accessor, and cannot be revoked.
        if token.accessor.is_empty() {
            return;
        }
        self.0.forget(&token);
        match self.0.api.write("auth/token/revoke-self", Some(&token.secret), &[]).await {
            Ok(answer) if answer.status.is_success() => {
                debug!(accessor = token.accessor, "revoked our token")
            }
            Ok(answer) => debug!(status = answer.status.as_u16(), "our token was not revoked"),
            Err(error) => debug!(kind = %error.kind(), "our token was not revoked"),
        }
    }
}

impl Inner {
    fn present(&self) -> Option<Arc<Token>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        token
    }

    fn forget(&self, token: &Token) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|present| present.number == token.number) {
            *current = None;
        }
    }

    async fn token(self: &Arc<Self>) -> Result<Arc<Token>, Error> {
        let now = self.clock.now();
        if let Some(token) = self.present().filter(|token| now < token.ends_at && token.take_use()) {
            if now < token.renew_at {
                return Ok(token);
            }
            // It is still good: only one renews it, and nobody waits for that.
            let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() else { return Ok(token) };
            return self.in_peace(flight, Some(token)).await;
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let flight = Arc::clone(&self.flight).lock_owned().await;
        if let Some(token) = self.present().filter(|token| now < token.ends_at && token.take_use()) {
            return Ok(token);
        }
        // A login that was under way when we asked was for us too.
        let meanwhile = self.attempts.load(Ordering::Acquire) != seen;
        if let Some(error) = flight.failed.as_ref().filter(|_| meanwhile) {
            return Err(error.clone());
        }
        let token = self.in_peace(flight, None).await?;
        token.take_use();
        Ok(token)
    }

    /// Renews or logs in within a task of its own: whoever asked may give up at any time, and a login that was begun
    /// may have used up what it was begun with.
    async fn in_peace(
        self: &Arc<Self>,
        mut flight: tokio::sync::OwnedMutexGuard<Flight>,
        old: Option<Arc<Token>>,
    ) -> Result<Arc<Token>, Error> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = match old {
                Some(old) => this.renew(&mut flight, old).await,
                None => this.log_in(&mut flight).await,
            };
            this.attempts.fetch_add(1, Ordering::AcqRel);
            flight.failed = result.as_ref().err().cloned();
            result
        });
        task.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the login was stopped")))
    }

    async fn log_in(self: &Arc<Self>, flight: &mut Flight) -> Result<Arc<Token>, Error> {
        let login = self.method.login(&self.api).await?;
        flight.logins += 1;
        let now = self.clock.now();
        let token = match login {
            Login::New(auth) => {
                info!(accessor = auth.accessor, lease = auth.lease_duration, "logged in");
                Token::new(auth, flight.logins, now)
            }
            Login::Given(secret) => Token::given(secret, flight.logins, now),
        };
        self.renew_in_background(&token);
        Ok(self.keep(token))
    }

    /// Prolongs a token that is still good. Where the server does not want to, another one takes its place; where it
    /// cannot be asked, the token stays until it ends.
    async fn renew(self: &Arc<Self>, flight: &mut Flight, old: Arc<Token>) -> Result<Arc<Token>, Error> {
        if old.renewable {
            match self.prolonged(&old).await {
                Ok(Some(token)) => return Ok(self.keep(token)),
                Ok(None) if !old.ours => {
                    // Not ours to replace: it lives for as long as it does.
                    return Ok(self.keep(Token { renewable: false, renew_at: Moment::NEVER, ..old.copy() }));
                }
                Ok(None) => {}
                Err(error) => return Ok(self.keep_for_now(&old, &error)),
            }
        }
        match self.log_in(flight).await {
            Ok(token) => Ok(token),
            Err(error) => Ok(self.keep_for_now(&old, &error)),
        }
    }

    fn keep_for_now(&self, old: &Token, error: &Error) -> Arc<Token> {
        warn!(kind = %error.kind(), accessor = old.accessor, "the login could not be renewed: the old one is used");
        let now = self.clock.now();
        let wait = (old.ends_at.since(now) / RETRY_PART).clamp(RENEWAL_MIN, GIVEN_RENEWED_AFTER);
        self.keep(Token { renew_at: now.after(wait), ..old.copy() })
    }

    /// The token with a longer life; `None` where the server does not prolong it.
    async fn prolonged(&self, old: &Token) -> Result<Option<Token>, Error> {
        let answer = self.api.write("auth/token/renew-self", Some(&old.secret), &[]).await?;
        if matches!(answer.status.as_u16(), 400 | 403 | 404) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(self.api.refusal(&answer));
        }
        let Some(auth) = self.api.reply(&answer)?.auth.take() else { return Ok(None) };
        let mut token = Token { ours: old.ours, ..Token::new(auth, old.number, self.clock.now()) };
        // At the end of its longest life, renewals gain nothing: the next time it is replaced.
        token.renewable &= old.ends_at == Moment::NEVER || token.ends_at > old.ends_at.after(RENEWAL_MIN);
        debug!(accessor = token.accessor, "renewed the token");
        Ok(Some(token))
    }

    /// Whether the server knows the token. That costs a request, which is not for a token whose uses are counted.
    async fn standing(&self, token: &Token) -> Result<Standing, Error> {
        if token.limited {
            return Ok(Standing::Unknown);
        }
        let answer =
            self.api.read("auth/token/lookup-self", None, Some(&token.secret), Repeat::Always).await?;
        if answer.status == StatusCode::FORBIDDEN {
            return Ok(Standing::Bad);
        }
        if !answer.status.is_success() {
            return Err(self.api.refusal(&answer));
        }
        let known =
            self.api.reply(&answer)?.data.and_then(|data| serde_json::from_str::<Known>(data.get()).ok());
        if known.is_some_and(|known| known.num_uses > 0) {
            self.keep(Token { limited: true, ..token.copy() });
        }
        Ok(Standing::Good)
    }

    /// Sees to it that the token is renewed while nobody asks.
    fn renew_in_background(self: &Arc<Self>, token: &Token) {
        if token.renew_at == Moment::NEVER || self.renewer.get().is_some() {
            return;
        }
        let task = tokio::spawn(renew_for_ever(Arc::downgrade(self), Arc::clone(&self.clock)));
        // Only one of two can win, and the other one would do the same.
        if self.renewer.set(task.abort_handle()).is_err() {
            task.abort();
        }
    }
}

async fn renew_for_ever(session: Weak<Inner>, clock: Arc<dyn Clock>) {
    loop {
        let Some(renew_at) = session.upgrade().map(|s| s.present().map(|token| token.renew_at)) else {
            return;
        };
        let wait = renew_at.map_or(GIVEN_RENEWED_AFTER, |at| at.since(clock.now()));
        // Neither a busy loop, nor more than a timer can hold.
        tokio::time::sleep(wait.clamp(RENEWAL_MIN, Duration::from_secs(86_400))).await;
        let Some(session) = session.upgrade() else { return };
        // What has failed is logged, and tried again when somebody asks; a token that ended is not missed until then.
        if session.present().is_some() {
            let _ = session.token().await;
        }
    }
}

impl Token {
    fn new(auth: Auth, number: u64, now: Moment) -> Self {
        let lease = Duration::from_secs(auth.lease_duration);
        let (renew_at, ends_at) = match lease.is_zero() {
            true => (Moment::NEVER, Moment::NEVER),
            false => (now.after(lease * 2 / 3), now.after(lease)),
        };
        Self {
            secret: auth.client_token.0,
            number,
            accessor: auth.accessor,
            policies: auth.policies.unwrap_or_default(),
            ours: true,
            limited: auth.num_uses > 0,
            uses_left: (auth.num_uses > 0).then(|| AtomicU64::new(auth.num_uses)),
            // That would cost one of its uses.
            renewable: auth.renewable && auth.num_uses == 0,
            renew_at,
            ends_at,
        }
    }

    /// Of a token that was given, nothing is known until it is renewed: asking would cost one of its uses.
    fn given(secret: Secret, number: u64, now: Moment) -> Self {
        Self {
            secret,
            number,
            accessor: String::new(),
            policies: Vec::new(),
            ours: false,
            limited: false,
            uses_left: None,
            renewable: true,
            renew_at: now.after(GIVEN_RENEWED_AFTER),
            ends_at: Moment::NEVER,
        }
    }

    fn copy(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            accessor: self.accessor.clone(),
            policies: self.policies.clone(),
            uses_left: self.uses_left.as_ref().map(|left| AtomicU64::new(left.load(Ordering::Relaxed))),
            ..*self
        }
    }

    /// Takes one of the uses of the token; says no when there is none left.
    fn take_use(&self) -> bool {
        let Some(left) = &self.uses_left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// How long the token will live for certain; what is lent to it lives no longer.
    pub(super) fn certain_life(&self, now: Moment) -> Option<Duration> {
        (!self.renewable && self.ends_at != Moment::NEVER).then(|| self.ends_at.since(now))
    }
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied, "the server denies it")
        .with_hint("do the token's policies allow reading it? `vaultref vaults check` shows which it has")
}

fn forgotten() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the server does not accept the token").with_hint(
        "it has expired, was revoked, is of another server, or has no right to look itself up: get a new one",
    )
}
