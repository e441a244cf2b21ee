//! How often this host asks hosts that strangers have named.
//!
//! Whoever asks for a handle or a DID has this host fetch from the host that it names, and whoever has an account sends
//! requests on to a service that a DID document of their own names. So that nobody turns this host upon another, each host
//! is asked so often and no more, whoever the askers are. The services that the operator has named are asked as often as
//! need be. A host is its name: its ports share a window.
//!
//! The windows are the isolate's, in memory: exact on one machine, and on Cloudflare as many times the rule as isolates are
//! busy with the same host.

use std::cell::RefCell;

use murmuration_platform::OutboundError;
use murmuration_rate::{Rule, Windows};
use murmuration_xrpc::Config;
use murmuration_xrpc::config::{ExtractorConfig, MailConfig};
use url::Url;

/// Look-ups at one host: handles, documents. Ours: 20 a second, twice the pace that `GLOBAL` leaves one client of this host, so
/// that none can have the window to itself.
const LOOKUPS: Rule = Rule::new(1_200, 60);
/// Requests sent on to one host. Ours: 100 a second, the pace of ten clients that ask for nothing else.
const PASSAGES: Rule = Rule::new(6_000, 60);
/// Hosts whose windows an isolate remembers, of either kind: some 100 KB.
const MAX_HOSTS: usize = 1_000;

/// What a host is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Errand {
    /// Something that this host wants to know.
    Lookup,
    /// Something that an account wants.
    Passage,
}

/// How often an isolate has asked each host.
pub(crate) struct Visits {
    /// Origins of the services that the operator has named.
    own: Vec<String>,
    lookups: RefCell<Windows>,
    passages: RefCell<Windows>,
}

impl Visits {
    /// Nobody was asked yet. `None` where there are no rate limits.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let mail = match &config.mail {
            MailConfig::Http(mail) => Some(&mail.url),
            _ => None,
        };
        let services = [&config.appview, &config.moderation, &config.reports];
        let services = services.into_iter().flatten().map(|service| &service.url);
        let extractor = match &config.extractor {
            ExtractorConfig::OpenAi(chat) => Some(&chat.url),
            ExtractorConfig::Rules | ExtractorConfig::WorkersAi { .. } => None,
        };
        let named = services
            .chain(&config.relays)
            .chain(mail)
            .chain(extractor)
            .chain(&config.doh_urls)
            .chain([&config.plc_url, &config.public_url]);
        config.rate_limits.then(|| Self::new(named.map(String::as_str)))
    }

    fn new<'a>(own: impl Iterator<Item = &'a str>) -> Self {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin().ascii_serialization());
        Self {
            own: own.filter_map(origin).collect(),
            lookups: RefCell::new(Windows::new(LOOKUPS, MAX_HOSTS)),
            passages: RefCell::new(Windows::new(PASSAGES, MAX_HOSTS)),
        }
    }

    /// Counts a request that is about to be sent.
    ///
    /// # Errors
    /// [`OutboundError::TooOften`] when its host was asked as often as it may be.
    pub(super) fn count(&self, errand: Errand, url: &Url, now: u64) -> Result<(), OutboundError> {
        if self.own.contains(&url.origin().ascii_serialization()) {
            return Ok(());
        }
        let name = url.host_str().unwrap_or_default();
        // The same name to everybody who resolves it.
        let name = name.strip_suffix('.').unwrap_or(name);
        let windows = match errand {
            Errand::Lookup => &self.lookups,
            Errand::Passage => &self.passages,
        };
        match windows.borrow_mut().take(name, 1, now) {
            Ok(_) => Ok(()),
            Err(status) => {
                Err(OutboundError::TooOften { host: name.to_owned(), seconds: status.seconds_left(now) })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000_000;

    fn visits() -> Visits {
        Visits::new(["https://plc.directory", "https://appview.example:8443/"].into_iter())
    }

    fn ask(visits: &Visits, errand: Errand, url: &str, now: u64) -> Result<(), OutboundError> {
        visits.count(errand, &Url::parse(url).unwrap(), now)
    }

    #[test]
    fn a_host_is_asked_so_often_and_no_more_however_it_is_spelt() {
        let visits = visits();
        let spellings = ["https://a.example/", "https://A.example./x?y", "https://a.example:8443/z"];
        for round in 0..LOOKUPS.points {
            let url = spellings[usize::try_from(round).unwrap() % spellings.len()];
            assert_eq!(ask(&visits, Errand::Lookup, url, NOW), Ok(()));
        }
        let refused = OutboundError::TooOften { host: "a.example".into(), seconds: 60 };
        for url in spellings {
            assert_eq!(ask(&visits, Errand::Lookup, url, NOW), Err(refused.clone()), "{url}");
        }
        assert_eq!(ask(&visits, Errand::Lookup, "https://b.a.example/", NOW), Ok(()));
        assert_eq!(ask(&visits, Errand::Passage, "https://a.example/", NOW), Ok(()));
        assert_eq!(ask(&visits, Errand::Lookup, "https://a.example/", NOW + 60_000_000), Ok(()));
    }

    #[test]
    fn the_operators_own_services_are_asked_as_often_as_need_be() {
        let visits = visits();
        for _ in 0..=PASSAGES.points {
            for url in ["https://plc.directory/did:plc:a", "https://appview.example:8443/xrpc/x"] {
                assert_eq!(ask(&visits, Errand::Passage, url, NOW), Ok(()));
            }
        }
        let other_port = |_| ask(&visits, Errand::Passage, "https://appview.example/", NOW);
        assert!((0..=PASSAGES.points).map(other_port).any(|outcome| outcome.is_err()));
    }
}
