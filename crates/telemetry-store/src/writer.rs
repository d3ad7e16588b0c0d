//! What the writers of every backend have in common: the requests to their thread, and how often a dead one is started
//! again.

pub(crate) mod request_queue;

pub(crate) mod restarts;
