// Types shared by the modules of the reviewing widget.

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

/** An image and the opinions about it, as sent by the server. */
export interface Image {
  sample: string;
  version: number;
  url: string;
  width: number;
  height: number;
  split: string;
  label: string | null;
  /** Kind of the label in words, or null if people gave it. */
  kind: string | null;
  shown: string;
  operator: string;
  at: string;
  checked: boolean;
  disputed: boolean;
  history: Line[];
  choices?: Choice[];
}

/** An image on the screen and the reviewer's actions on it. */
export interface Tile extends Image {
  img: HTMLImageElement;
  /** Id of the reviewer's last event about it. */
  last: string | null;
  status: string;
  /** Number of history lines that the reviewer has seen. */
  seen: number;
}

export interface GridTile extends Tile {
  isMarked: boolean;
  isExcluded: boolean;
  /** Confirm or doubt, and the version: 'confirm 3'. */
  verdict: string | null;
  box: HTMLElement;
  text: HTMLElement;
  /** The kind of a label that people did not give. */
  badge: HTMLElement;
}

export interface DeskTile extends Tile {
  /** Index of the selected opinion, or -1. */
  choice: number;
  /** Id of the event that decided it. */
  decisionId: string | null;
}

/** The methods that Grid and Desk add to the widget. */
export interface View {
  /** Describes the keys. */
  help: string;
  /** Name, text, key and title of each button. */
  commands: string[][];
  /** Handler of each command. */
  handlers: Record<string, () => void>;
  /** Returns how many more images to request. */
  missingCount(): number;
  visibleTiles(): Tile[];
  edit(char: string): void;
  save(tile: Tile, text: string): void;
  /** Called when the server did not apply an event as intended. */
  onConflict(tile: Tile): void;
  restart(): void;
  show(): void;
  emptyState(): HTMLElement;
}
