// Params of a pooling; kernel, stride and padding are 0 where windows are adaptive; `longest` is
// how many rows the longest window has.

struct Params {
    planes: u32, tile: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    longest: u32, kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
