use std::future::pending;
use std::hint::black_box;

// ANCHOR: main
fn main() {
    println!("nothing      {:5}", size_of_val(&nothing()));
    println!("across       {:5}", size_of_val(&across()));
    println!("before       {:5}", size_of_val(&before()));
    println!("in_a_scope   {:5}", size_of_val(&in_a_scope()));
    println!("on_the_heap  {:5}", size_of_val(&on_the_heap()));
    println!("twice        {:5}", size_of_val(&twice()));
    println!("owner        {:5}", size_of_val(&owner()));
}
// ANCHOR_END: main

// ANCHOR: functions
/// Nothing is needed after the wait.
async fn nothing() {
    wait().await;
}

/// The buffer is: it lives across the `await`.
async fn across() {
    let mut buffer = [0; 1024];
    wait().await;
    fill(&mut buffer);
}

/// No longer needed when the wait begins. But its scope goes on.
async fn before() {
    let mut buffer = [0; 1024];
    fill(&mut buffer);
    wait().await;
}

/// Its scope ends before the wait.
async fn in_a_scope() {
    {
        let mut buffer = [0; 1024];
        fill(&mut buffer);
    }
    wait().await;
}
// ANCHOR_END: functions

// ANCHOR: more
/// The buffer of `across`, on the heap.
async fn on_the_heap() {
    let mut buffer = vec![0; 1024];
    wait().await;
    fill(&mut buffer);
}

/// A function that waits is a part of the one that waits for it.
async fn twice() {
    across().await;
    across().await;
}

/// Handed over by value.
async fn owner() {
    let buffer = [0; 1024];
    user(buffer).await;
}

async fn user(mut buffer: [u8; 1024]) {
    wait().await;
    fill(&mut buffer);
}
// ANCHOR_END: more

// ANCHOR: helpers
/// Stands for a read that has to wait. It has no size of its own.
async fn wait() {
    pending().await
}

/// Stands for work with a buffer.
fn fill(buffer: &mut [u8]) {
    black_box(buffer);
}
// ANCHOR_END: helpers
