// The reviewing widget: a grid of labeled images, or one disputed image with its opinions.

import { mount } from "../shared/dom.js";
import { Desk } from "./desk.js";
import { Grid } from "./grid.js";

export default mount(
  (root, data) => (data.mode === "labels" ? new Grid(root, data) : new Desk(root, data)),
  (data) => data.view,
);
