//! Tests of `paging.rs`.

use super::*;

#[test]
fn a_token_says_where_a_page_begins_and_nothing_else_does() {
    let page = |text: &str| PageRequest {
        after: Some(PageToken::from(text.to_owned())),
        ..PageRequest::default()
    };
    let token = Cursor::token(Order::LatestFirst, -42);
    assert_eq!(Cursor::of(&page(token.as_str())).unwrap().after, Some(-42));
    for text in ["", "1", "1l", "2l42", "1o42", "l42", "1l4x", "42"] {
        assert!(
            matches!(Cursor::<i64>::of(&page(text)), Err(QueryError::Token(_))),
            "{text}"
        );
    }
}
