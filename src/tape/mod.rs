//! The tape: record straight-line Rust, differentiate, schedule, replay. It names no op except those that move state
//! ([`assign`]), because `Tape::assign` is the only write to what outlives a step.

pub mod arena;
pub mod assign;
pub mod backward;
pub mod constants;
mod deferred;
pub mod demand;
pub mod fence;
pub mod join;
pub mod layout;
pub mod lifetime;
pub mod op;
pub mod plan;
pub mod program;
pub mod recompute;
pub mod record;
pub mod recording;
pub mod replay;
pub mod rewrite;
pub mod schedule;
mod scope;
pub mod state;
pub mod trace;

pub use constants::Constants;
pub use op::{Cost, Emit, Home, Launch, Op, Slot, Type};
pub use plan::Plan;
pub use program::Program;
pub use record::{Scalar, StepPart, Tape, Var};
pub use recording::Recording;
pub use replay::{Feed, Replay};
pub use schedule::{Options, Schedule};
pub use state::State;
pub use trace::Trace;
