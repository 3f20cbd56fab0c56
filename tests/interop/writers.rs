//! Many devices that write into one conversation while another one reads along.

use std::cell::Cell;

use cloud_sync::NewMessage;

use crate::devices::{Device, cloud};

const WRITERS: usize = 4;
const ROUNDS: usize = 50;
const MESSAGES_PER_ROUND: usize = 10;

#[tokio::test]
async fn p02_what_four_writers_write_a_reader_sees_once_and_in_order() {
    let cloud = cloud().await;
    let reader = Device::new(&cloud, &cloud.demo().people[1]).await;
    let (first, second) = (Device::pair(&cloud).await, Device::pair(&cloud).await);
    let writers: [Device; WRITERS] = [first.0, first.1, second.0, second.1];
    // Everybody means the same conversation before anybody is in a hurry.
    writers[0].chat().await;
    writers[0].workspace.sync().await.unwrap();
    let all = WRITERS * ROUNDS * MESSAGES_PER_ROUND;

    let write = async |number: usize, device: &Device| {
        for round in 0..ROUNDS {
            let texts = (0..MESSAGES_PER_ROUND).map(|n| format!("{number}:{}", round * MESSAGES_PER_ROUND + n));
            device.chat().await.append_all(texts.map(NewMessage::user).collect()).await.unwrap();
            device.chat().await.push().await.unwrap();
        }
    };
    let done = Cell::new(false);
    let all_write = async {
        let [first, second, third, fourth] = &writers;
        tokio::join!(write(0, first), write(1, second), write(2, third), write(3, fourth));
        done.set(true);
    };
    let read = async {
        let mut pulls = 0;
        while !done.get() {
            let received = reader.workspace.sync().await.unwrap().received;
            pulls += usize::from(received > 0);
        }
        pulls
    };
    let ((), pulls) = tokio::join!(all_write, read);
    reader.workspace.sync().await.unwrap();

    let texts = reader.texts().await;
    assert_eq!(texts.len(), all, "nothing may be missing or doubled");
    assert_eq!(texts, reader.texts_in_cloud().await);
    for number in 0..WRITERS {
        let own: Vec<_> = texts.iter().filter_map(|text| text.strip_prefix(&format!("{number}:"))).collect();
        assert!(own.iter().enumerate().all(|(n, text)| *text == n.to_string()), "writer {number} out of order");
    }
    assert!(pulls > 1, "the reader has to read while the writers write: {pulls}");
    println!("{all} messages seen in {pulls} pulls");
}
