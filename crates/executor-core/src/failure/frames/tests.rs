//! Tests of `frames.rs`.

use super::*;

#[test]
fn only_the_frames_of_the_program_are_left() {
    let rendered = "   0: executor_core::failure::capture\n             at ./src/failure.rs:1:1\n\
                    1: <T as core::convert::Into<U>>::into\n\
                    2: lights::on\n             at ./src/lights.rs:7:9\n\
                    3: <lights::Lamp as executor_core::handler::Handler>::call\n\
                    4: <core::pin::Pin<P> as core::future::Future>::poll\n             at /rustc/x.rs:1\n\
                    5: tokio::runtime::park\n  16: <&mut tokio::X as core::Y>::z\n17: main";
    let expected = "  1: <T as core::convert::Into<U>>::into\n  2: lights::on\n      at ./src/lights.rs:7:9\n  \
                    3: <lights::Lamp as executor_core::handler::Handler>::call\n  \
                    … 5 frames of the runtime left out …";
    assert_eq!(left(rendered), expected);
}
