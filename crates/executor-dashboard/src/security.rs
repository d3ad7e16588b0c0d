//! Who may look: the names that a browser may come with, the token, and what a browser is told not to do.

pub(crate) mod guard;

pub(crate) mod login;

pub(crate) mod token;
