//! Tests of `shared.rs`.

use super::*;

#[tokio::test]
async fn d07_stores_of_one_file_share_its_writer_whatever_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let path = directory.path().join(name);
        let target = Target::parse(path.to_str().unwrap()).unwrap();
        SharedWriter::open(target, crate::liveness::FILE_MODE)
            .await
            .unwrap()
            .0
    };
    let (one, two) = (open("one.db").await, open("./one.db").await);
    let other = open("other.db").await;
    assert!(Arc::ptr_eq(&one.writer, &two.writer));
    assert!(!Arc::ptr_eq(&one.writer, &other.writer));
    one.close().await;
    assert!(one.call("late", |_| Ok(())).await.is_err());
    two.call("in time", |_| Ok(())).await.unwrap();
    drop(two);
    // The last one is gone: this is a new writer.
    let three = open("one.db").await;
    assert!(!Arc::ptr_eq(&one.writer, &three.writer));
    three.call("in time", |_| Ok(())).await.unwrap();
}
