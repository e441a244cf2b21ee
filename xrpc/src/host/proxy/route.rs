//! Which service a request is for: the one that its `atproto-proxy` header names, or the one that this host has for the
//! method.
//! <https://atproto.com/specs/xrpc#service-proxying>

use murmuration_syntax::Did;

use crate::config::Service;
use crate::{Config, XrpcError};

/// The way that a request takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way<'a> {
    /// To a service whose address the operator has given.
    Configured(&'a Service),
    /// To a service that the caller named.
    Named(Named),
}

/// A service in the words of an `atproto-proxy` header: `did#fragment`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named {
    /// Whose document says where it is.
    pub did: Did,
    /// Under which fragment of the document, without `#`.
    pub fragment: String,
}

impl Named {
    /// Reads the header.
    ///
    /// # Errors
    /// `InvalidRequest`, in the reference server's words for each rule.
    pub fn parse(header: &str) -> Result<Self, XrpcError> {
        let refuse = |why: &str| Err(XrpcError::invalid(why));
        let (did, fragment) = match header.split_once('#') {
            Some(("", _)) => return refuse("no did specified in proxy header"),
            Some((_, "")) | None => return refuse("no service id specified in proxy header"),
            Some((_, fragment)) if fragment.contains('#') => return refuse("invalid proxy header format"),
            Some(_) if header.contains(' ') => return refuse("proxy header cannot contain spaces"),
            Some(parts) => parts,
        };
        match Did::parse(did) {
            Ok(did) => Ok(Self { did, fragment: fragment.to_owned() }),
            Err(_) => refuse("invalid did in proxy header"),
        }
    }
}

/// The way of a request for `nsid` with that `atproto-proxy` header.
///
/// # Errors
/// `InvalidRequest` for a header that breaks a rule; `MethodNotImplemented` where there is no header and this host has no
/// service for the method.
pub fn way<'a>(config: &'a Config, nsid: &str, header: Option<&str>) -> Result<Way<'a>, XrpcError> {
    let Some(header) = header.filter(|header| !header.is_empty()) else {
        return default(config, nsid).map(Way::Configured).ok_or_else(XrpcError::not_implemented);
    };
    let named = Named::parse(header)?;
    Ok(match &config.appview {
        Some(appview) if is_appview(appview, &named) => Way::Configured(appview),
        _ => Way::Named(named),
    })
}

/// Whether a header names a service other than this host's AppView, so that even what the host could answer itself is meant
/// for that service.
///
/// # Errors
/// `InvalidRequest` for a header that breaks a rule.
pub fn leads_away(config: &Config, header: Option<&str>) -> Result<bool, XrpcError> {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return Ok(false) };
    let named = Named::parse(header)?;
    Ok(!config.appview.as_ref().is_some_and(|appview| is_appview(appview, &named)))
}

fn is_appview(appview: &Service, named: &Named) -> bool {
    named.did == appview.did && named.fragment == APPVIEW_FRAGMENT
}

fn default<'a>(config: &'a Config, nsid: &str) -> Option<&'a Service> {
    if nsid.starts_with(OZONE) {
        config.moderation.as_ref()
    } else if nsid == CREATE_REPORT {
        config.reports.as_ref().or(config.moderation.as_ref())
    } else {
        config.appview.as_ref()
    }
}

/// The fragment under which an AppView goes.
const APPVIEW_FRAGMENT: &str = "bsky_appview";
const OZONE: &str = "tools.ozone.";
pub(super) const CREATE_REPORT: &str = "com.atproto.moderation.createReport";
