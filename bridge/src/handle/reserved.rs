//! Labels that a host does not give out, because whoever has them would be taken for the host, for the protocol or for
//! somebody in charge.

/// Whether a label, in lower case, is reserved.
pub(super) fn is_reserved(label: &str) -> bool {
    RESERVED.binary_search(&label).is_ok()
}

/// In order. The protocol's and this project's own words, the names of roles and departments, of machines and
/// services, and of pages that a site has.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "about", "abuse", "access", "account", "accounts", "activate", "activity", "address", "admin",
    "administration", "administrator", "administrators", "admins", "ads", "advertising", "affiliate",
    "affiliates", "agent", "agents", "all", "alpha", "analytics", "anonymous", "any", "anyone", "api", "app",
    "apps", "appview", "archive", "assets", "atp", "atproto", "atprotocol", "auth", "authentication",
    "authorize", "backup", "bank", "beta", "billing", "blob", "blobs", "blog", "bluesky", "board", "bot",
    "bots", "bridge", "broadcast", "broadcasthost", "bsky", "bugs", "business", "calendar", "cancel",
    "captcha", "careers", "cdn", "ceo", "certificate", "changelog", "chat", "checkout", "client", "cloud",
    "cloudflare", "cname", "community", "compliance", "config", "confirm", "console", "contact", "contact-us",
    "content", "copyright", "corp", "corporate", "cron", "customer", "customers", "dashboard", "data",
    "database", "debug", "default", "delete", "demo", "deploy", "dev", "developer", "developers", "devops",
    "did", "dids", "directory", "disabled", "dmarc", "dns", "dns1", "dns2", "docs", "documentation", "domain",
    "domains", "download", "downloads", "e-mail", "edit", "email", "enterprise", "error", "errors", "event",
    "events", "everyone", "example", "explore", "faq", "feature", "features", "feed", "feedback", "feeds",
    "file", "files", "finance", "firehose", "firewall", "forgot", "forum", "forums", "founder", "ftp",
    "gateway", "git", "graphql", "guest", "guide", "guides", "handle", "handles", "health", "help",
    "helpdesk", "home", "host", "hosting", "hostmaster", "http", "https", "human-resources", "identity",
    "imap", "inbox", "index", "info", "infra", "internal", "invalid", "investors", "invite", "invites",
    "invoice", "isatap", "jobs", "join", "keys", "label", "labeler", "labels", "legal", "lex", "lexicon",
    "lexicons", "licence", "license", "list", "live", "local", "localdomain", "localhost", "log", "log-in",
    "log-out", "login", "logout", "logs", "mail", "mailer", "mailer-daemon", "mailing", "maintenance",
    "manager", "marketing", "media", "member", "members", "memory", "message", "messages", "meta", "metrics",
    "mobile", "mod", "moderation", "moderator", "moderators", "mods", "monitor", "murmuration", "mx0", "mx1",
    "mx2", "name", "net", "network", "news", "newsletter", "no-reply", "nobody", "noc", "node", "none",
    "noreply", "notification", "notifications", "ns0", "ns1", "ns2", "ns3", "ns4", "nsid", "null", "oauth",
    "office", "official", "openid", "operator", "operators", "ops", "organization", "owner", "page", "pages",
    "partner", "partners", "password", "pay", "payment", "payments", "pds", "pds1", "pds2", "people", "pgp",
    "phishing", "ping", "plc", "policies", "policy", "pop", "pop3", "portal", "post", "postmaster", "press",
    "preview", "pricing", "privacy", "privacy-policy", "private", "prod", "production", "profile", "profiles",
    "project", "projects", "proxy", "public", "query", "queue", "record", "records", "recovery", "register",
    "registrar", "registry", "relay", "remove", "repo", "report", "reports", "repos", "reset", "robot",
    "robots", "root", "router", "rss", "rules", "sales", "sandbox", "search", "secure", "security", "server",
    "servers", "service", "services", "session", "sessions", "settings", "setup", "shop", "sign-in",
    "sign-up", "signin", "signup", "site", "sitemap", "smtp", "spam", "spf", "sql", "ssh", "ssl", "ssladmin",
    "ssladministrator", "sslwebmaster", "staff", "stage", "staging", "static", "stats", "status", "store",
    "stream", "subscribe", "sudo", "suggestions", "superuser", "support", "sync", "sysadmin", "system",
    "team", "teams", "terms", "test", "testing", "tests", "tid", "tls", "token", "tokens", "tools", "tos",
    "trust", "undefined", "unsubscribe", "update", "updates", "upgrade", "upload", "uploads", "usenet",
    "user", "username", "users", "uucp", "verify", "video", "videos", "vpn", "web", "webhook", "webhooks",
    "webmail", "webmaster", "webmasters", "webserver", "website", "welcome", "well-known", "wellknown",
    "whois", "wiki", "worker", "workers", "wpad", "www", "www1", "www2", "xrpc", "you", "yourself",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_has_nothing_twice() {
        for pair in RESERVED.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn protocol_words_and_roles_are_reserved() {
        for word in ["atproto", "pds", "xrpc", "admin", "www", "support", "postmaster"] {
            assert!(is_reserved(word), "{word}");
        }
        assert!(!is_reserved("alice"));
    }
}
