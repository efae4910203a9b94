// pool.grad: each element of dx adds its share of dy of the windows over it, in row order: no two invocations write the
// same element. An invocation owns blocks of $HEIGHT × $WIDTH elements, a stride wide where strides are small, so that
// each dy is read once a block and not once an element; at most $REACH windows lie over a block in a row. Blocks are laid
// out over tiles (common/tile.wgsl); share() and given() come from the piece before this one. Blocks begin in the padding;
// what lies outside x is at NOWHERE and is not stored.

const NOWHERE = 0xffffffffu;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, (p.height + p.padding_h + $HEIGHT - 1u) / $HEIGHT,
                 (p.width + p.padding_w + $WIDTH - 1u) / $WIDTH);
    let plane = t.plane * (p.height * p.width);
    let plane_out = t.plane * (p.out_height * p.out_width);
    let over = columns_over(t.column * $WIDTH, t.column * $WIDTH + ($WIDTH - 1u));
    //@ for b in 0..WIDTH
    let w$b = t.column * $WIDTH + $b - p.padding_w;
    //@ end
    for (var row = t.row; row < t.end; row += $ROWS) {
        let over_rows = rows_over(row * $HEIGHT, row * $HEIGHT + ($HEIGHT - 1u));
        //@ for a in 0..HEIGHT
        let h$a = row * $HEIGHT + $a - p.padding_h;
        //@ for b in 0..WIDTH
        let at_$a_$b = select(NOWHERE, h$a * p.width + w$b, (h$a < p.height) & (w$b < p.width));
        var sum_$a_$b = 0.0;
        //@ end
        //@ end
        for (var r = over_rows.x; r < over_rows.y; r++) {
            let line = plane_out + r * p.out_width;
            // A window past the last one is read as the last one and counts as zero: a branch would cost more.
            //@ for k in 0..REACH
            let s$k = share(line + min(over.x + $k, p.out_width - 1u), r, over.x + $k, over.x + $k < over.y);
            //@ for a in 0..HEIGHT
            //@ for b in 0..WIDTH
            sum_$a_$b += given(s$k, at_$a_$b, h$a, w$b);
            //@ end
            //@ end
            //@ end
        }
        //@ for a in 0..HEIGHT
        //@ for b in 0..WIDTH
        if (at_$a_$b != NOWHERE) { put(plane + at_$a_$b, sum_$a_$b); }
        //@ end
        //@ end
    }
}
