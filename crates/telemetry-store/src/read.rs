//! What every backend's queries share: rows and what they say, pages, time limits, counting.

pub(crate) mod evidence;

pub(crate) mod paging;

pub(crate) mod question;

pub(crate) mod rows;

pub(crate) mod search;

pub(crate) mod summary;

pub(crate) mod window;
