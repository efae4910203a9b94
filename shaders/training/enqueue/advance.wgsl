// enqueue.advance: pointer' = (pointer + by) mod modulo, in place.

struct Params { by: u32, modulo: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> pointer: array<u32>;

@compute @workgroup_size(1)
fn main() {
    if (!held()) {
        pointer[0] = (pointer[0] % p.modulo + p.by % p.modulo) % p.modulo;
    }
}
