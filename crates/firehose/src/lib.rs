//! Events and frames of com.atproto.sync.subscribeRepos, and how a relay verifies them.
