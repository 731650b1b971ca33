//! The HTTP client that backends share: time limits, a bound on answers, repeats where they do no harm, and
//! redirects only where the caller lets them go.
//!
//! Bodies, in and out, are in memory that is zeroized, as far as it is ours: the library and the system make copies.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder, Retryable};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::{debug, warn};
use vaultref_core::{Error, ErrorKind, Secret};
use zeroize::Zeroizing;

mod failure;
mod tls;

use failure::{explain, too_large};
pub(crate) use tls::{Tls, read_file};

/// So many requests of one client are under way. Over HTTP/1 each takes a connection: a start with many hundreds of
/// secrets must not look like an attack to the store, and one with a hundred is to be over in one go.
const REQUESTS_AT_ONCE: usize = 128;
/// So often a request is repeated, where that does no harm.
const REPEATS_MAX: usize = 2;
/// The wait before the first repeat; it doubles, with jitter on top.
const REPEAT_WAIT: Duration = Duration::from_millis(100);
/// A store that asks for more patience than this is not waited for: whoever asked gets an error, and so does
/// everybody until the time is over.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a store may ask for at the most: a fault of one answer must not shut us out for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// So many redirects lead to an answer.
const REDIRECTS_MAX: usize = 4;

/// What a part of an address or of a form holds as it is (RFC 3986, `unreserved`).
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a client behaves.
#[derive(Debug, Clone)]
pub(crate) struct HttpOptions {
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long one request may take, from connecting to the last byte of the answer.
    pub request_timeout: Duration,
    /// The largest answer, in bytes.
    pub body_bytes_max: u64,
    /// How the other side is recognised, and we are.
    pub tls: Tls,
    /// Whether `HTTPS_PROXY` and its like count. Not for addresses that only this machine knows.
    pub proxied: bool,
}

impl HttpOptions {
    /// For the metadata server of a machine in a cloud: it is near or not there at all, and no proxy knows it.
    pub(crate) const METADATA: Self = Self {
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(5),
        body_bytes_max: 1024 * 1024,
        tls: Tls::OFF,
        proxied: false,
    };
}

/// A client with its connections. Made at its first request: that reads certificates.
pub(crate) struct Http {
    options: HttpOptions,
    client: OnceCell<reqwest::Client>,
    requests: Semaphore,
    /// Until when the store asked to be left alone.
    paused: Mutex<Option<Pause>>,
}

/// A store's wish to be left alone.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    /// What it is, for those who come meanwhile: too many questions, or a store that cannot answer now.
    kind: ErrorKind,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A body that is sent from where it is, and wiped there.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Whether a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing.
    Always,
    /// Only if the store cannot have acted on it: it was not reached, or refused to look at it.
    Unprocessed,
}

/// One request.
pub(crate) struct Request {
    pub method: Method,
    pub url: Url,
    /// Values that are secret have to be marked as sensitive.
    pub headers: HeaderMap,
    pub body: Option<Secret>,
    pub repeat: Repeat,
}

impl Request {
    /// A request without a body that changes nothing.
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, repeat: Repeat::Always }
    }
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
}

/// An attempt that gave no final answer.
struct Unfinished {
    /// What the caller gets when it is not repeated: an answer with a bad status is one, too.
    outcome: Result<Answer, Error>,
    repeat: bool,
    /// The store's own wish.
    wait: Option<Duration>,
}

impl Unfinished {
    fn failed(error: Error, repeat: bool) -> Box<Self> {
        Box::new(Self { outcome: Err(error), repeat, wait: None })
    }
}

impl Http {
    pub(crate) fn new(options: HttpOptions) -> Self {
        let requests = Semaphore::new(REQUESTS_AT_ONCE);
        Self { options, client: OnceCell::new(), requests, paused: Mutex::default() }
    }

    /// Sends a request and reads the answer. `may_redirect` says whether an answer may lead the request, with all
    /// that it carries, from one place to another; the error says why not.
    pub(crate) async fn send(
        &self,
        request: &Request,
        may_redirect: &(dyn Fn(&Url, &Url) -> Result<(), Error> + Sync),
    ) -> Result<Answer, Error> {
        let backoff =
            ExponentialBuilder::new().with_min_delay(REPEAT_WAIT).with_max_times(REPEATS_MAX).with_jitter();
        let attempt = || self.attempt(request, may_redirect);
        let done = attempt
            .retry(backoff.build())
            .when(|unfinished| unfinished.repeat)
            .adjust(|unfinished, wait| wait.map(|wait| wait + unfinished.wait.unwrap_or_default()))
            .notify(|_, wait| debug!(?wait, "repeating a request"))
            .await;
        done.or_else(|unfinished| unfinished.outcome)
    }

    async fn attempt(
        &self,
        request: &Request,
        may_redirect: &(dyn Fn(&Url, &Url) -> Result<(), Error> + Sync),
    ) -> Result<Answer, Box<Unfinished>> {
        let fail = |error| Unfinished::failed(error, false);
        let client = self.client().await.map_err(fail)?;
        let _permit = self.permit().await.map_err(fail)?;
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(client, request, &url).await?;
            let Some(target) = redirect(&answer, &request.method, &url) else {
                return self.judge(request, answer);
            };
            may_redirect(&url, &target).map_err(fail)?;
            debug!(status = answer.status.as_u16(), host = target.host_str(), "following a redirect");
            url = target;
        }
        let message = format!("`{}` redirects in a circle", place(&request.url));
        Err(fail(Error::new(ErrorKind::Unavailable, message)))
    }

    /// Sends it once, to this place.
    async fn once(
        &self,
        client: &reqwest::Client,
        request: &Request,
        url: &Url,
    ) -> Result<Answer, Box<Unfinished>> {
        let mut builder =
            client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(Bytes::from_owner(Wiped(body.clone())));
        }
        let failed = |error: reqwest::Error| {
            let (error, repeat) = explain(&error, url, &self.options);
            let repeat = match repeat {
                failure::Sent::No => true,
                failure::Sent::Maybe => request.repeat == Repeat::Always,
                failure::Sent::Final => false,
            };
            Unfinished::failed(error, repeat)
        };
        let mut response = builder.send().await.map_err(failed)?;
        let mut body = Zeroizing::new(Vec::new());
        let limit = usize::try_from(self.options.body_bytes_max).unwrap_or(usize::MAX);
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Unfinished::failed(too_large(url, limit), false));
        }
        body.reserve_exact(announced.unwrap_or(4096));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if chunk.len() > limit - body.len() {
                return Err(Unfinished::failed(too_large(url, limit), false));
            }
            grow(&mut body, chunk.len());
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
    }

    /// Whether an answer is final, by its status alone.
    fn judge(&self, request: &Request, answer: Answer) -> Result<Answer, Box<Unfinished>> {
        let unprocessed =
            matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let passes = matches!(answer.status.as_u16(), 412 | 500 | 502 | 504);
        let is_final = !(unprocessed || passes && request.repeat == Repeat::Always);
        if is_final {
            return Ok(answer);
        }
        let wait = retry_after(&answer.headers);
        if let Some(wait) = wait {
            warn!(host = request.url.host_str(), ?wait, "the store asks to be left alone");
            let kind = match answer.status {
                StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
                _ => ErrorKind::Unavailable,
            };
            let pause = Pause { until: Instant::now() + wait, kind };
            let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
            if paused.is_none_or(|known| known.until < pause.until) {
                *paused = Some(pause);
            }
        }
        let repeat = wait.is_none_or(|wait| wait <= PATIENCE);
        Err(Box::new(Unfinished { outcome: Ok(answer), repeat, wait }))
    }

    /// Leave to send a request: not too many at once, and not while the store wants to be left alone. That is waited
    /// for if it is over soon.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        loop {
            let permit = self.requests.acquire().await.expect("nobody closes the semaphore");
            let pause = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let Some(Pause { until, kind }) = pause.filter(|pause| now < pause.until) else {
                return Ok(permit);
            };
            let left = until - now;
            if left > PATIENCE {
                let seconds = left.as_secs() + 1;
                let message = format!("the server asks to be left alone for {seconds} s more");
                let hint = match kind {
                    ErrorKind::RateLimited => {
                        "it limits how often it is asked: ask less often, or raise its quota"
                    }
                    _ => "it is being maintained, or too busy",
                };
                return Err(Error::new(kind, message).with_hint(hint));
            }
            drop(permit);
            tokio::time::sleep(left + left.mul_f64(0.1 * chance())).await;
        }
    }

    async fn client(&self) -> Result<&reqwest::Client, Error> {
        self.client
            .get_or_try_init(|| async {
                let options = self.options.clone();
                let built = tokio::task::spawn_blocking(move || tls::client(&options)).await;
                built.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the HTTP client was not made")))
            })
            .await
    }
}

/// A number from 0 to 1, to spread what would otherwise happen all at once. It need not be hard to guess.
pub(crate) fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

/// Makes room without leaving an unwiped copy behind, as a vector that grows by itself would.
fn grow(body: &mut Zeroizing<Vec<u8>>, more: usize) {
    if body.capacity() - body.len() < more {
        let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + more).max(2 * body.capacity())));
        larger.extend_from_slice(body);
        *body = larger;
    }
}

/// Where an answer leads instead. The older codes have everybody turn a POST into a GET: they count for GET only.
fn redirect(answer: &Answer, method: &Method, from: &Url) -> Option<Url> {
    let leads = match answer.status.as_u16() {
        307 | 308 => true,
        301 | 302 => method == Method::GET,
        _ => false,
    };
    let location = answer.headers.get(LOCATION).filter(|_| leads)?.to_str().ok()?;
    from.join(location).ok()
}

/// For [`Http::send`]: what is sent stays where it was sent to.
pub(crate) fn no_redirects(from: &Url, to: &Url) -> Result<(), Error> {
    let message = format!("`{}` redirects to `{}`, where we do not follow", place(from), place(to));
    Err(Error::new(ErrorKind::InvalidConfig, message).with_hint("is it the right address?"))
}

/// The members of a form, in memory that is zeroized.
pub(crate) fn form(members: &[(&str, &str)]) -> Secret {
    // Large enough from the start: a vector that grows leaves copies behind. Each byte takes three at the most.
    let size: usize = members.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in members {
        if !body.is_empty() {
            body.push(b'&');
        }
        utf8_percent_encode(name, ENCODED).for_each(|text| body.extend(text.as_bytes()));
        body.push(b'=');
        utf8_percent_encode(value, ENCODED).for_each(|text| body.extend(text.as_bytes()));
    }
    Secret::from(body)
}

/// The seconds in `Retry-After`. A date there is not understood, as none of our stores sends one.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Whether a host is this machine, by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address of a server that gets what nobody may read on the way: so it is `https`, or this machine.
pub(crate) fn confidential(option: &str, text: &str) -> Result<Url, Error> {
    let refuse = |why: &str, hint: &str| {
        Error::new(ErrorKind::InvalidConfig, format!("option `{option}` {why}")).with_hint(hint.to_owned())
    };
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(refuse("is not the address of a server", "it starts with `https://`"));
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refuse("holds a user or a fragment", "write protocol, host and path only"));
    }
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
        let hint = "use `https`: what is sent there is secret, and `http` is for this machine only";
        return Err(refuse("would send secrets in plain text", hint));
    }
    Ok(url)
}

/// `host:port` of an address, for messages.
pub(crate) fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
