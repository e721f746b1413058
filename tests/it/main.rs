//! One binary of integration tests, against real servers: an `App` in this process with a
//! clock that is moved by hand, or the program itself as a process.
//!
//! Users have names: [`support::Vendor`] issues, [`support::Site`] serves (and its admin
//! commands), [`support::Device`] asks. Long proofs run at a short setting; the
//! environment variable `TOLLKEEPER_FULL=1` runs them at full strength.

mod access;
mod administration;
mod alerts;
mod backups;
mod c_interface;
mod certificates;
mod charge_ways;
mod cli;
mod client;
mod clones;
mod closing;
mod cut_off;
mod device_kills;
mod doctor;
mod durability;
mod error_codes;
mod exactness;
mod facts;
mod failovers;
mod full_disk;
mod hostile_http;
mod joining;
mod licenses_and_codes;
mod main_job;
mod malformed;
mod misuse;
mod numbers;
mod operations;
mod random_sites;
mod revocations;
mod sandbox;
mod scenarios;
mod scripts;
mod sealed;
mod seats_and_quota;
mod settings;
mod simulate;
mod standby;
mod statements;
mod static_binary;
mod statistics;
mod store;
mod support;
mod tidy;
mod tls;
mod vectors;
