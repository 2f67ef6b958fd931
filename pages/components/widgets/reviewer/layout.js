// Computes how many tiles fit the window. Enter confirms all of them, so all must be visible.

const GAP = 10; // pixels between tiles
const MIN_TILE_WIDTH = 150; // pixels
const MAX_SCALE = 2.5; // of a small image
const BELOW = 8; // pixels below the tiles
const MAX_TILES = 60;
const AROUND = 50; // vertical pixels of a tile for label and padding
const CHARACTER = 0.69; // width per font size; measured: 0.68

/**
 * Computes the layout. All tiles have the size of the first image.
 * @param {{ width: number, height: number }} room
 * @param {{ width: number, height: number } | undefined} image
 * @param {number} length of a label
 */
export function layoutOf(room, image, length) {
  const { width } = room;
  const aspect = image ? image.width / image.height : 3;
  const least = Math.min(Math.max(MIN_TILE_WIDTH, Math.min((image?.width ?? 0) * 0.95, 260), length * 13), width);
  const columns = Math.max(width < 500 ? 2 : 1, Math.floor((width + GAP) / (least + GAP)));
  const each = (width - GAP * (columns - 1)) / columns;
  const imageWidth = Math.min(each - 14, (image?.width ?? 200) * MAX_SCALE);
  const imageHeight = imageWidth / aspect;
  const rows = Math.max(1, Math.floor((room.height - BELOW + GAP) / (imageHeight + AROUND + GAP)));
  return {
    columns,
    tiles: Math.min(columns * rows, Math.floor(MAX_TILES / columns) * columns),
    imageWidth,
    imageHeight,
    labelSize: Math.max(8, Math.min(25, (each - 16) / (length * CHARACTER))),
  };
}
