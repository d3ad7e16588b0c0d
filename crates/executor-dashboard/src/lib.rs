//! Shows a history in a browser: what ran, when and for how long, what failed and why, and what is missing.
//!
//! It knows only the ports [`History`](executor_core::ports::History) and
//! [`LiveState`](executor_core::ports::LiveState), so it shows whatever implements them. It is an axum router, to be
//! served by itself or nested into another one:
//!
//! ```
//! use std::sync::Arc;
//!
//! use executor_dashboard::{Access, Dashboard, Token};
//! use executor_testkit::MemoryStore;
//!
//! let history = Arc::new(MemoryStore::new());
//! let token = Token::random().expect("the system has random numbers");
//! let dashboard = Dashboard::new(history, Access::Token(token));
//! let router = dashboard.for_port(7979).router();
//! # let _: axum::Router = router;
//! ```
//!
//! Every page is made on the server and works without scripts. It says how complete what it shows is. With
//! `accept: application/json` each answers with its figures.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;

mod assets;

mod changes;

mod charts;

mod dashboard;

mod drawing;

mod pages;

mod question;

mod security;

mod shown;

pub use dashboard::{Access, Dashboard};
pub use pages::acting::Visitor;
pub use security::token::{Token, UnfitToken};
