//! How often one may call: so many calls in a window of time that begins with the first of them.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Longest window.
const LONGEST: Duration = Duration::from_secs(366 * 86400);
/// Most callers that are remembered. Beyond it, the one whose window began first is forgotten.
const MOST_CALLERS: usize = 1 << 16;

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    calls: u32,
    units: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    const ALL: [Unit; 4] = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day];

    fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::Day => "day",
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 86400,
        }
    }
}

impl Rate {
    /// So many calls a minute.
    pub const fn per_minute(calls: u32) -> Self {
        Self { calls, units: 1, unit: Unit::Minute }
    }

    /// Reads `10/minute`, `10 per minute`, `100/5 minutes`: what upstream's documentation writes.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| {
            format!("{text:?} is no rate; write calls and time, for example 10/minute, 100/hour or 5/10 seconds")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (calls, time) = text.split_once('/').or_else(|| text.split_once(" per "))?;
        let time = time.trim().to_ascii_lowercase();
        let digits = time.bytes().take_while(u8::is_ascii_digit).count();
        let (units, unit) = time.split_at(digits);
        let units = if units.is_empty() { 1 } else { units.parse().ok()? };
        let unit = unit.trim();
        let unit =
            Unit::ALL.into_iter().find(|known| unit == known.name() || unit.strip_suffix('s') == Some(known.name()))?;
        let rate = Self { calls: calls.trim().parse().ok()?, units, unit };
        (rate.calls > 0 && rate.units > 0 && rate.window() <= LONGEST).then_some(rate)
    }

    /// Calls in a window.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Length of a window.
    pub fn window(&self) -> Duration {
        Duration::from_secs(u64::from(self.units) * self.unit.seconds())
    }
}

impl fmt::Display for Rate {
    /// As upstream's server says it: `10 per 1 minute`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} {}", self.calls, self.units, self.unit.name())
    }
}

/// Who is counted, and for what. Each has windows of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    caller: Caller,
    action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    Named(Arc<str>),
    Address(IpAddr),
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A call that computes.
    Analysis,
    /// A clip that is sent on its own.
    Upload,
    /// A call with a wrong key or token.
    Failure,
}

impl Subject {
    /// The holder of a key or a token.
    pub fn named(name: Arc<str>, action: Action) -> Self {
        Self { caller: Caller::Named(name), action }
    }

    /// An address. Of IPv6 it is the network of 64 bits: whoever has one address of it has all.
    pub fn address(address: IpAddr, action: Action) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address => address,
        };
        Self { caller: Caller::Address(network), action }
    }
}

/// What is left after a call was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the call may be made.
    pub is_allowed: bool,
    /// The rate that it was counted against.
    pub rate: Rate,
    /// Calls that are left in this window.
    pub remaining: u32,
    /// Seconds until the next window, rounded up.
    pub reset_s: u64,
}

impl Verdict {
    /// Writes `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    pub fn write(&self, headers: &mut HeaderMap) {
        let values = [
            ("ratelimit-limit", u64::from(self.rate.calls)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", self.reset_s),
        ];
        for (name, value) in values {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// The windows of all callers.
#[derive(Debug, Default)]
pub struct Windows(Mutex<HashMap<Subject, Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Instant,
    used: u32,
}

impl Windows {
    /// Counts `calls` of `subject`, all or, when they are too many, none of them.
    pub fn take(&self, subject: &Subject, rate: Rate, calls: u32, now: Instant) -> Verdict {
        let mut windows = self.lock();
        if windows.len() >= MOST_CALLERS && !windows.contains_key(subject) {
            make_room(&mut windows, now);
        }
        let window = windows
            .entry(subject.clone())
            .and_modify(|window| {
                if window.ends <= now {
                    *window = Window { ends: now + rate.window(), used: 0 };
                }
            })
            .or_insert(Window { ends: now + rate.window(), used: 0 });
        let left = rate.calls.saturating_sub(window.used);
        let is_allowed = calls <= left;
        if is_allowed {
            window.used += calls;
        }
        Verdict {
            is_allowed,
            rate,
            remaining: rate.calls.saturating_sub(window.used),
            reset_s: window.ends.saturating_duration_since(now).as_secs_f64().ceil() as u64,
        }
    }

    /// Takes back one call that was counted but not served.
    pub fn give_back(&self, subject: &Subject) {
        if let Some(window) = self.lock().get_mut(subject) {
            window.used = window.used.saturating_sub(1);
        }
    }

    /// Forgets windows that are over.
    pub fn sweep(&self, now: Instant) {
        self.lock().retain(|_, window| window.ends > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets windows that are over, or a sixteenth of them, those that end first, so that this is seldom done.
fn make_room(windows: &mut HashMap<Subject, Window>, now: Instant) {
    windows.retain(|_, window| window.ends > now);
    if windows.len() < MOST_CALLERS {
        return;
    }
    let mut ends: Vec<Instant> = windows.values().map(|window| window.ends).collect();
    let (_, last, _) = ends.select_nth_unstable(MOST_CALLERS / 16);
    let last = *last;
    windows.retain(|_, window| window.ends > last);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Subject {
        Subject::address(text.parse().unwrap(), Action::Analysis)
    }

    #[test]
    fn rates_are_read_as_upstream_writes_them() {
        for (text, calls, seconds, told) in [
            ("10/minute", 10, 60, "10 per 1 minute"),
            ("10 per minute", 10, 60, "10 per 1 minute"),
            ("10 per 1 minute", 10, 60, "10 per 1 minute"),
            (" 100 / 5 minutes ", 100, 300, "100 per 5 minute"),
            ("1/Second", 1, 1, "1 per 1 second"),
            ("5/2hours", 5, 7200, "5 per 2 hour"),
            ("7/day", 7, 86400, "7 per 1 day"),
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!((rate.calls(), rate.window().as_secs(), rate.to_string().as_str()), (calls, seconds, told));
        }
        for bad in [
            "",
            "10",
            "/minute",
            "0/minute",
            "-1/minute",
            "10/fortnight",
            "10/0 minutes",
            "10/minutess",
            "1/9999 days",
            "1.5/minute",
            "99999999999/day",
        ] {
            assert!(Rate::parse(bad).unwrap_err().contains("10/minute"), "{bad}");
        }
    }

    #[test]
    fn the_call_after_the_last_is_refused_until_the_window_ends() {
        let (windows, rate, now) = (Windows::default(), Rate::parse("3/minute").unwrap(), Instant::now());
        let at = |seconds: f64| now + Duration::from_secs_f64(seconds);
        let verdicts: Vec<_> = [0.0, 1.0, 2.5, 3.0]
            .map(|s| windows.take(&address("192.0.2.1"), rate, 1, at(s)))
            .map(|v| (v.is_allowed, v.remaining, v.reset_s))
            .into();
        assert_eq!(verdicts, [(true, 2, 60), (true, 1, 59), (true, 0, 58), (false, 0, 57)]);
        assert!(windows.take(&address("192.0.2.2"), rate, 1, at(3.0)).is_allowed);
        windows.give_back(&address("192.0.2.1"));
        assert!(windows.take(&address("192.0.2.1"), rate, 1, at(4.0)).is_allowed);
        assert!(!windows.take(&address("192.0.2.1"), rate, 1, at(59.9)).is_allowed);
        let fresh = windows.take(&address("192.0.2.1"), rate, 1, at(60.0));
        assert_eq!((fresh.is_allowed, fresh.remaining, fresh.reset_s), (true, 2, 60));
    }

    #[test]
    fn many_calls_count_all_or_not_at_all() {
        let (windows, rate, now) = (Windows::default(), Rate::parse("5/hour").unwrap(), Instant::now());
        let caller = Subject::named("a".into(), Action::Analysis);
        assert!(windows.take(&caller, rate, 4, now).is_allowed);
        assert!(!windows.take(&caller, rate, 2, now).is_allowed);
        let last = windows.take(&caller, rate, 1, now);
        assert!(last.is_allowed && last.remaining == 0);
        assert!(windows.take(&Subject::named("a".into(), Action::Upload), rate, 5, now).is_allowed);
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller_and_mapped_addresses_are_those_of_ipv4() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn callers_without_end_do_not_take_memory_without_end() {
        let (windows, rate, now) = (Windows::default(), Rate::per_minute(1), Instant::now());
        for number in 0..(MOST_CALLERS as u32 + 5000) {
            let later = now + Duration::from_nanos(u64::from(number));
            windows.take(&Subject::address(IpAddr::V4(number.into()), Action::Analysis), rate, 1, later);
        }
        assert!(windows.lock().len() <= MOST_CALLERS);
        windows.sweep(now + Duration::from_secs(3600));
        assert!(windows.lock().is_empty());
    }
}
