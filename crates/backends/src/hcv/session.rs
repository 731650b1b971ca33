//! Keeps one token per vault: one login however many ask, renewed before it ends, made anew when the server forgot it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};
use vaultref_core::{Clock, Error, ErrorKind, Moment};

use super::api::Api;
use super::auth::{Login, Method};
use super::token::Token;
use crate::http::chance;

/// How long a login or a renewal may take, all its requests and files together.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// A token that was found to be good is not doubted again for so long, whatever else is denied.
const TRUSTED_FOR: Duration = Duration::from_secs(30);
/// A token that was refused leads to a new login no more often than this: one that helps nothing is not repeated.
const RELOGIN_EVERY: Duration = Duration::from_secs(10);
/// After a renewal that did not get through, so much of what is left of the token passes before the next.
const RETRY_PART: u32 = 3;
/// The waits between two renewals, and between two looks at whether there is something to renew.
const RENEWAL_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest sleep of the task that renews: a timer holds no more.
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

/// The login of one vault.
pub(super) struct Session(Arc<Inner>);

struct Inner {
    api: Arc<Api>,
    method: Box<dyn Method>,
    clock: Arc<dyn Clock>,
    /// Held by whoever logs in or renews.
    flight: Arc<tokio::sync::Mutex<Flight>>,
    /// How many logins, renewals and look-ups have ended, however they did.
    attempts: AtomicU64,
    current: Mutex<Option<Arc<Token>>>,
    renewer: Mutex<Option<AbortHandle>>,
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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("method", &self.0.method).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(renewer) = self.renewer.get_mut().unwrap_or_else(PoisonError::into_inner) {
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
    /// wrong. All whose token was refused at the same time share one look and one login, or its failure.
    pub(super) async fn refused(&self, token: &Token) -> Result<Arc<Token>, Error> {
        let this = &self.0;
        let seen = this.attempts.load(Ordering::Acquire);
        let mut flight = Arc::clone(&this.flight).lock_owned().await;
        if let Some(answer) = this.answered_meanwhile(&flight, seen, Some(token)) {
            return answer;
        }
        if this.present().is_some_and(|present| present.number == token.number) {
            let now = this.clock.now();
            if flight.trusted.is_some_and(|(number, until)| number == token.number && now < until) {
                return Err(denied());
            }
            match this.standing(token).await {
                Err(error) => {
                    this.attempts.fetch_add(1, Ordering::AcqRel);
                    flight.failed = Some(error.clone());
                    return Err(error);
                }
                Ok(standing) => {
                    if let Some(verdict) = this.verdict(&mut flight, token, &standing) {
                        return Err(verdict);
                    }
                }
            }
            info!(accessor = token.accessor, "the server does not know the token any more: logging in anew");
            this.forget(token);
        }
        let present = this.in_peace(flight, None).await;
        let present = present.map_err(|error| error.within("after the token was refused"))?;
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

    /// The present token, one use of which is the caller's.
    fn usable(&self) -> Option<Arc<Token>> {
        let now = self.clock.now();
        self.present().filter(|token| now < token.ends_at && token.take_use())
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
        if let Some(token) = self.usable() {
            if self.clock.now() < token.renew_at {
                return Ok(token);
            }
            // It is still good: only one renews it, and nobody waits for that.
            let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() else { return Ok(token) };
            return self.in_peace(flight, Some(token)).await;
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let flight = Arc::clone(&self.flight).lock_owned().await;
        match self.answered_meanwhile(&flight, seen, None) {
            Some(answer) => answer,
            None => self.in_peace(flight, None).await,
        }
    }

    /// What an attempt gave that was under way when we began to wait: it was for us too. `refused` is a token that is of
    /// no use.
    fn answered_meanwhile(
        &self,
        flight: &Flight,
        seen: u64,
        refused: Option<&Token>,
    ) -> Option<Result<Arc<Token>, Error>> {
        let is_refused = |token: &Token| refused.is_some_and(|refused| refused.number == token.number);
        let is_other = self.present().is_some_and(|token| !is_refused(&token));
        if is_other && let Some(token) = self.usable() {
            return Some(Ok(token));
        }
        let failed = flight.failed.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != seen)?;
        Some(Err(failed.clone()))
    }

    /// Why there will be no login for a token that was refused; `None` where there will.
    fn verdict(&self, flight: &mut Flight, token: &Token, standing: &Standing) -> Option<Error> {
        let now = self.clock.now();
        let can_repeat = self.method.can_repeat();
        match standing {
            Standing::Good => {
                flight.trusted = Some((token.number, now.after(TRUSTED_FOR)));
                return Some(denied());
            }
            Standing::Bad if !can_repeat => return Some(forgotten()),
            Standing::Unknown if !can_repeat => return Some(denied()),
            // One that is used up is refused for that, and another one helps.
            Standing::Unknown if token.is_used_up() => {}
            // This one was made anew a moment ago: it is what was asked for that is denied, to a token that may not
            // look itself up.
            _ if now < flight.relogin_at => return Some(denied()),
            Standing::Bad | Standing::Unknown => {}
        }
        flight.relogin_at = now.after(RELOGIN_EVERY);
        None
    }

    /// Renews or logs in within a task of its own: whoever asked may give up at any time, and a login that was begun
    /// may have used up what it was begun with.
    async fn in_peace(
        self: &Arc<Self>,
        mut flight: OwnedMutexGuard<Flight>,
        old: Option<Arc<Token>>,
    ) -> Result<Arc<Token>, Error> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let attempt = async {
                match &old {
                    Some(old) => this.renew(&mut flight, old).await,
                    None => this.log_in(&mut flight).await,
                }
            };
            let result =
                tokio::time::timeout(LOGIN_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(too_slow()));
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
        let token = self.keep(token);
        self.renew_in_background(&token);
        Ok(token)
    }

    /// Prolongs a token that is still good. Where the server does not want to, another one takes its place; where it
    /// cannot be asked, the token stays until it ends.
    async fn renew(self: &Arc<Self>, flight: &mut Flight, old: &Token) -> Result<Arc<Token>, Error> {
        if old.renewable {
            match self.prolonged(old).await {
                Ok(Some(token)) => return Ok(self.keep(token)),
                Ok(None) if !old.ours => {
                    // Not ours to replace: it lives for as long as it does.
                    let token = Token { renewable: false, renew_at: Moment::NEVER, ..old.clone() };
                    return Ok(self.keep(token));
                }
                Ok(None) => {}
                Err(error) => return Ok(self.keep_for_now(old, &error)),
            }
        }
        match self.log_in(flight).await {
            Ok(token) => Ok(token),
            Err(error) => Ok(self.keep_for_now(old, &error)),
        }
    }

    fn keep_for_now(&self, old: &Token, error: &Error) -> Arc<Token> {
        warn!(kind = %error.kind(), accessor = old.accessor, "the login could not be renewed: the old one is used");
        let now = self.clock.now();
        let wait = (old.ends_at.since(now) / RETRY_PART).clamp(RENEWAL_WAIT.0, RENEWAL_WAIT.1);
        self.keep(Token { renew_at: now.after(wait), ..old.clone() })
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
        token.renewable &= old.ends_at == Moment::NEVER || token.ends_at > old.ends_at.after(RENEWAL_WAIT.0);
        debug!(accessor = token.accessor, "renewed the token");
        Ok(Some(token))
    }

    /// Whether the server knows the token. That costs a request, which is not for a token whose uses are counted.
    async fn standing(&self, token: &Token) -> Result<Standing, Error> {
        if token.limited {
            return Ok(Standing::Unknown);
        }
        let Some(known) = self.api.lookup_self(&token.secret).await? else { return Ok(Standing::Bad) };
        if let Some(present) = self.present().filter(|_| known.num_uses > 0) {
            self.keep(Token { limited: true, ..(*present).clone() });
        }
        Ok(Standing::Good)
    }

    /// Sees to it that the token is renewed while nobody asks.
    fn renew_in_background(self: &Arc<Self>, token: &Token) {
        if token.renew_at == Moment::NEVER || token.limited {
            return;
        }
        let mut renewer = self.renewer.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends with its runtime, and the session may outlive that.
        if renewer.as_ref().is_none_or(AbortHandle::is_finished) {
            let task = tokio::spawn(renew_for_ever(Arc::downgrade(self), Arc::clone(&self.clock)));
            *renewer = Some(task.abort_handle());
        }
    }
}

/// A token that has ended is not replaced until somebody asks: a login that fails for good would be tried for ever.
async fn renew_for_ever(session: Weak<Inner>, clock: Arc<dyn Clock>) {
    loop {
        let Some(present) = session.upgrade().map(|session| session.present()) else { return };
        let now = clock.now();
        let alive = present.filter(|token| now < token.ends_at && !token.limited);
        let wait = alive.map_or(RENEWAL_WAIT.1, |token| token.renew_at.since(now));
        tokio::time::sleep(with_jitter(wait.clamp(RENEWAL_WAIT.0, SLEEP_MAX))).await;
        let Some(session) = session.upgrade() else { return };
        let now = clock.now();
        let due =
            session.present().filter(|token| now >= token.renew_at && now < token.ends_at && !token.limited);
        let flight = Arc::clone(&session.flight).try_lock_owned();
        if let (Some(token), Ok(flight)) = (due, flight) {
            // What fails is logged there, and the next attempt is set.
            let _ = session.in_peace(flight, Some(token)).await;
        }
    }
}

/// Up to a tenth longer, so that programs that were started together do not renew together.
fn with_jitter(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + 0.1 * chance())
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied, "the server denies it")
        .with_hint("do the token's policies allow reading it? `vaultref vaults check` shows which it has")
}

/// A token that the server does not know.
pub(super) fn forgotten() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the server does not accept the token").with_hint(
        "it has expired, was revoked, is of another server, or has no right to look itself up: get a new one",
    )
}

fn too_slow() -> Error {
    let seconds = LOGIN_TIMEOUT.as_secs();
    Error::new(ErrorKind::Timeout, format!("the login was not done within {seconds} s"))
        .with_hint("does a file that it reads answer, and the identity provider?")
}
