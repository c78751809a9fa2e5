//! The pure part of uepoll: figures, correlation, reports. No clock, no I/O,
//! no kernel: what goes in is plain data, what comes out is plain data or text.

pub mod books;
pub mod capture;
pub mod correlate;
pub mod doctor;
pub mod figures;
pub mod file;
pub mod help;
pub mod list;
pub mod quantile;
pub mod reference;
pub mod render;
pub mod report;
pub mod residency;
pub mod run;
pub mod since;
pub mod timeline;
pub mod whole;
