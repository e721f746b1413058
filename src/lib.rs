//! Tollkeeper: the license server that a site installs for itself, with no internet.
//!
//! A device asks for its license and gets a signed **authorization** that works offline; it
//! reports what it did in slots of three minutes; the server counts, exactly, and can prove
//! it. What the words mean is written in the domain's own rooms, [`licensing`] first.
//!
//! # The map
//!
//! | room | what | may enter |
//! | --- | --- | --- |
//! | [`licensing`] | what a license means: pure decisions, no clock, no database, no network | – |
//! | [`protocol`] | the wire: requests, answers, error codes, license key | licensing |
//! | [`documents`] | signed documents and sealed secrets: license file, authorization … | licensing, protocol |
//! | [`store`] | SQLite: the journal of facts, the one writer, tables for reading | licensing |
//! | [`commands`] | every write, one file an intention: authorize, accept reports, import … | store, documents, protocol, licensing |
//! | [`alerts`] | how alerts leave the house: mail, webhook, syslog | commands, store, documents, client |
//! | [`jobs`] | what the server does by itself: backups, certificates, alerts, looking out for trouble | alerts, commands, store |
//! | [`replication`] | two servers of a site: what they tell each other, which of them serves | commands, store, client |
//! | [`http`] | HTTPS, the client API, the admin API | alerts, commands, store (reads), protocol, documents, licensing |
//! | [`client`] | the device's side (feature `client`) | protocol, documents, licensing |
//! | [`cli`] | the command line: a thin face on the admin API | everything |
//! | [`settings`] | `tollkeeper.toml`, environment, flags | – |
//! | [`clock`] | where the time comes from | – |
//! | [`log`] | the log: how it is written, how much it tells | settings |
//! | [`app`] | puts the rooms together, starts and stops them | everything |
//!
//! # What always holds
//!
//! - **One writer.** All writes go through one thread ([`store::writer`]); quotas are exact
//!   because two requests never see the same last unit.
//! - **Facts.** Whatever is remembered is first a fact in the journal, and only applying
//!   facts changes the tables that people read ([`store::facts`]). Replaying the journal
//!   gives the same tables, in whatever order the facts of two servers come.
//! - **Acknowledged means on disk.** An answer leaves only after the commit (`synchronous=FULL`).
//! - **A refusal is a value**, an error means that something is broken; only
//!   [`http::problem`] turns either into a response.
//! - **Time is an argument.** Only [`clock`] reads the machine's clock, and decisions never
//!   use a time before the latest fact.
//! - **Signing never runs on the writer thread**, and nothing else that takes long does.
//! - **No internet, ever**: nothing is fetched, and alerts go only where the admin sends them.
//!
//! What is absent on purpose: an asynchronous database layer (one thread and a queue do
//! better), a cache beside the writer's memory (there is one truth), mocks.
//!
//! # Features
//!
//! `server` (default) is everything; `client` alone builds without actix and SQLite;
//! `capi` is the client with its C interface.

#[cfg(feature = "server")]
pub mod alerts;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
#[cfg(feature = "server")]
pub mod commands;
pub mod documents;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod jobs;
pub mod licensing;
#[cfg(feature = "server")]
pub mod log;
pub mod protocol;
#[cfg(feature = "server")]
pub mod replication;
#[cfg(feature = "server")]
pub mod settings;
#[cfg(feature = "server")]
pub mod store;
