//! The few messages of Perfetto's trace format that are written here, by field
//! number (protos/perfetto/trace/trace_packet.proto and what it includes).
//! Written by hand: six messages need no generator.

/// A message under way.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A number: any integer, enumeration or bool.
    pub(super) fn number(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    /// A `fixed64`.
    pub(super) fn fixed(mut self, field: u32, value: u64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string, or a message within this one.
    pub(super) fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// A message within this one.
    pub(super) fn message(self, field: u32, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// What it comes to.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Fields of `Trace`.
pub(super) mod trace {
    pub(in super::super) const PACKET: u32 = 1;
}

/// Fields of `TracePacket`.
pub(super) mod packet {
    pub(in super::super) const CLOCK_SNAPSHOT: u32 = 6;
    pub(in super::super) const TIMESTAMP: u32 = 8;
    pub(in super::super) const SEQUENCE: u32 = 10;
    pub(in super::super) const TRACK_EVENT: u32 = 11;
    pub(in super::super) const SEQUENCE_FLAGS: u32 = 13;
    pub(in super::super) const CLOCK: u32 = 58;
    pub(in super::super) const TRACK_DESCRIPTOR: u32 = 60;
    /// SEQ_INCREMENTAL_STATE_CLEARED: a sequence begins.
    pub(in super::super) const BEGINS: u64 = 1;
}

/// Fields of `ClockSnapshot` and its `Clock`, and numbers of clocks.
pub(super) mod clock {
    pub(in super::super) const CLOCKS: u32 = 1;
    pub(in super::super) const PRIMARY: u32 = 2;
    pub(in super::super) const ID: u32 = 1;
    pub(in super::super) const TIMESTAMP: u32 = 2;
    pub(in super::super) const REALTIME: u64 = 1;
    pub(in super::super) const MONOTONIC: u64 = 3;
}

/// Fields of `TrackDescriptor` and its `CounterDescriptor`.
pub(super) mod track {
    pub(in super::super) const UUID: u32 = 1;
    pub(in super::super) const NAME: u32 = 2;
    pub(in super::super) const PARENT: u32 = 5;
    pub(in super::super) const COUNTER: u32 = 8;
    pub(in super::super) const COUNTER_UNIT_NAME: u32 = 6;
}

/// Fields and types of `TrackEvent`.
pub(super) mod event {
    pub(in super::super) const ANNOTATION: u32 = 4;
    pub(in super::super) const TYPE: u32 = 9;
    pub(in super::super) const TRACK: u32 = 11;
    pub(in super::super) const NAME: u32 = 23;
    pub(in super::super) const COUNTER_VALUE: u32 = 30;
    pub(in super::super) const FLOWS: u32 = 47;
    pub(in super::super) const FLOWS_END: u32 = 48;
    pub(in super::super) const BEGIN: u64 = 1;
    pub(in super::super) const END: u64 = 2;
    pub(in super::super) const INSTANT: u64 = 3;
    pub(in super::super) const COUNTER: u64 = 4;
}

/// Fields of `DebugAnnotation`.
pub(super) mod annotation {
    pub(in super::super) const UINT: u32 = 3;
    pub(in super::super) const STRING: u32 = 6;
    pub(in super::super) const NAME: u32 = 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_encoded_as_the_format_says() {
        // The examples of protobuf's own description of its encoding.
        assert_eq!(Message::default().number(1, 150).finish(), [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, b"testing").finish();
        assert_eq!(text, [&[0x12, 0x07][..], b"testing"].concat());
    }
}
