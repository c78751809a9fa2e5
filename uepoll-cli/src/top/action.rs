//! What a key can ask for, and what that asks of the loop.

/// Frames that Page Up and Page Down go.
pub const LEAP: usize = 10;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Stop the process, as Ctrl-Z does anywhere else.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// The row, or line, above.
    Up,
    /// The row, or line, below.
    Down,
    /// Show the chosen ring.
    Open,
    /// One page back.
    Back,
    /// Show which keys do what.
    Help,
    /// Order by the next column.
    SortNext,
    /// Order by the column before.
    SortBefore,
    /// Turn the order round.
    Reverse,
    /// Begin to type a filter.
    Filter,
    /// A character of it.
    Type(char),
    /// Take its last character away.
    Erase,
    /// It is as it should be.
    Accept,
    /// Without a filter.
    Cancel,
    /// Stop or go on.
    Pause,
    /// So many frames back.
    Earlier(usize),
    /// So many frames on.
    Later(usize),
    /// The first frame.
    First,
    /// The last frame.
    Last,
    /// Play faster.
    Faster,
    /// Play slower.
    Slower,
}

/// What the loop has to do for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Draw.
    Draw,
    /// Draw everything anew.
    Redraw,
    /// Stop the process.
    Suspend,
    /// End.
    Quit,
}
