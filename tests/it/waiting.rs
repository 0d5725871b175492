//! What a call costs while it waits.

use poolshift::{Args, Call, Pool};

use crate::service::Service;

/// What a caller holds while it waits, in bytes. Ten thousand may wait at once, and what each of
/// them holds has to be fetched from far away when its turn comes.
const AT_MOST: usize = 1400;

#[tokio::test]
async fn a_call_that_waits_is_small() {
    let shim = Service::new().start().await;
    let call = || Call::new("echo", Args::default());
    let (v2, v3) = (shim.router().legacy().call(call()), shim.router().next().call(call()));
    let sizes = [size_of_val(&shim.call(call())), size_of_val(&v2), size_of_val(&v3)];
    assert!(sizes.iter().all(|bytes| *bytes <= AT_MOST), "{sizes:?}");
}
