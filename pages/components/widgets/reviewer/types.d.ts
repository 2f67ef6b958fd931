// What the reviewing widget's parts pass to each other.

export interface Line {
  at: string;
  operator: string;
  did: string;
  what: string;
  standing: string;
  origin: string;
  ms: number | null;
}

export interface Choice {
  text: string | null;
  flag: string | null;
  shown: string;
  current: boolean;
  voices: string[];
}

/** An image and what was said of it. */
export interface Image {
  sample: string;
  version: number;
  url: string;
  width: number;
  height: number;
  split: string;
  label: string | null;
  shown: string;
  operator: string;
  at: string;
  checked: boolean;
  disputed: boolean;
  history: Line[];
  choices?: Choice[];
}

/** An image on the screen, and what the reviewer has done with it. */
export interface Tile extends Image {
  img: HTMLImageElement;
  /** Id of the reviewer's last event on it. */
  last: string | null;
  status: string;
  /** Lines of its history that the reviewer has seen. */
  seen: number;
}

export interface GridTile extends Tile {
  isMarked: boolean;
  isTakenOut: boolean;
  /** Confirm or doubt, and of which version. */
  said: string | null;
  box: HTMLElement;
  text: HTMLElement;
}

export interface DeskTile extends Tile {
  /** Place of the chosen opinion; -1 for none. */
  choice: number;
  /** Id of the event that decided it. */
  decided: string | null;
}

/** What a grid or a desk adds to the widget. */
export interface View {
  /** Says which keys there are. */
  help: string;
  /** Name, text, key and title of each button. */
  commands: string[][];
  /** What keys and buttons do. */
  acts: Record<string, () => void>;
  /** Returns how many images more are needed soon. */
  wanted(): number;
  shown(): Tile[];
  edit(char: string): void;
  save(tile: Tile, text: string): void;
  /** Is called when the server took an event otherwise than it was meant. */
  overtaken(tile: Tile): void;
  restart(): void;
  show(): void;
  emptyState(): HTMLElement;
}
