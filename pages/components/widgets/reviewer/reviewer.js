// The reviewing widget: a grid of labeled images, or one disputed image or suspected label with the texts to choose from.

import { mount } from "../shared/dom.js";
import { Desk } from "./desk.js";
import { Grid } from "./grid.js";
import { SuspectDesk } from "./suspects.js";

/** @type {Record<string, new (root: HTMLElement, data: any) => any>} */
const VIEWS = { labels: Grid, disputed: Desk, suspected: SuspectDesk };

export default mount(
  (root, data) => new VIEWS[data.mode](root, data),
  (data) => data.view,
);
