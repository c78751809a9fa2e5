//! The words that both sides of uepoll share: the ABI of a user-polled epoll
//! file, the records that probes emit, counters and histogram buckets.
//!
//! Nothing here knows about probes, files or terminals.
#![cfg_attr(not(any(test, feature = "user")), no_std)]

pub mod abi;
#[cfg(feature = "user")]
pub mod consumer;
pub mod counter;
pub mod fields;
pub mod hist;
pub mod position;
pub mod record;
pub mod state;
