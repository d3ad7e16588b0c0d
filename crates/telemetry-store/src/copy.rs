//! Copies a history from one database into another, whatever keeps them.
//!
//! Both backends make the same rows of what they keep ([`table`]), so a copy knows neither of them ([`run`]).

pub(crate) mod dialect;

pub(crate) mod ends;

pub(crate) mod error;

pub(crate) mod mark;

mod rollups;

pub(crate) mod row;

mod run;

pub(crate) mod side;

pub(crate) mod table;
