// Every key counts. Its twin is key_lengths.wgsl.

fn keys_of(head: u32) -> u32 {
    return p.s;
}
