// resize: an output element is the weighted sum of $TAPS × $TAPS inputs. An invocation makes the outputs at its places of
// its tile (common/tile.wgsl); taps() comes from the piece before this one.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.out_height, p.out_width);
    let plane = t.plane * (p.height * p.width);
    let across = taps(t.column, p.width, p.out_width);
    let at_0 = across.low;
    let at_1 = across.high;
    let across_0 = 1.0 - across.part;
    let across_1 = across.part;
    for (var row = t.row; row < t.end; row += $ROWS) {
        let down = taps(row, p.height, p.out_height);
        let line_0 = plane + down.low * p.width;
        let line_1 = plane + down.high * p.width;
        let down_0 = 1.0 - down.part;
        let down_1 = down.part;
        var sum = 0.0;
        //@ for i in 0..TAPS
        //@ for j in 0..TAPS
        sum += down_$i * across_$j * x[line_$i + at_$j];
        //@ end
        //@ end
        y[(t.plane * p.out_height + row) * p.out_width + t.column] = sum;
    }
}
