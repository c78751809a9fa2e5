//! The consumer of a user-polled ring: create it, map it, consume it.
//!
//! [`protocol`] is the specification's loop, written once over an abstract
//! [`memory`]: the real [`mapping`], a [`model`] in plain memory, and whatever
//! else stands in for the ring. What is done with the events is not here.

pub mod mapping;
pub mod memory;
pub mod model;
pub mod protocol;
#[cfg(test)]
mod protocol_tests;
pub mod spin_probe;
pub mod user_poll;
#[cfg(test)]
mod user_poll_tests;

pub use mapping::Mapping;
pub use memory::{RingMemory, RingView};
pub use protocol::{Consumer, Corruption, Drained, Event, Spun, Stop};
pub use user_poll::{UserPoll, UserPollError, WaitOutcome};
