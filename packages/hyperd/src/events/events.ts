import type { EventAction, EventType, HyperEvent } from './event.ts';
import { EventLog, type FollowOptions } from './event-log.ts';

/** Longer values are cut: the tail of a console, a command line. */
const MAX_VALUE_LENGTH = 1024;

type Attributes = Readonly<Record<string, string | number | undefined>>;
type Labels = Readonly<Record<string, string>>;

/** What an event needs to know of a pod. */
export interface PodSubject {
  readonly id: string;
  readonly spec: { readonly labels: Labels };
}

/** What an event needs to know of a container. */
export interface ContainerSubject {
  readonly id: string;
  readonly podId: string;
  readonly name: string;
  readonly spec: { readonly image: string; readonly labels: Labels };
}

/** The events of the daemon: one call where something happens, `follow` for those who want to know. */
export class Events {
  readonly #log = new EventLog();

  pod({ id, spec }: PodSubject, action: EventAction<'pod'>, attributes: Attributes = {}): void {
    this.#raise('pod', action, { id, name: id, labels: spec.labels }, attributes);
  }

  container(
    { id, name, podId, spec }: ContainerSubject,
    action: EventAction<'container'>,
    attributes: Attributes = {},
  ): void {
    const subject = { id, name, labels: spec.labels };
    this.#raise('container', action, subject, { pod: podId, image: spec.image, ...attributes });
  }

  /** `name`: as the user gave it; empty where there is none. */
  image(
    { id, name }: { readonly id: string; readonly name: string },
    action: EventAction<'image'>,
    attributes: Attributes = {},
  ): void {
    this.#raise('image', action, { id, name }, attributes);
  }

  network(
    { name, labels }: { readonly name: string; readonly labels: Labels },
    action: EventAction<'network'>,
    attributes: Attributes = {},
  ): void {
    this.#raise('network', action, { id: name, name, labels }, attributes);
  }

  volume(
    { name, labels }: { readonly name: string; readonly labels: Labels },
    action: EventAction<'volume'>,
  ): void {
    this.#raise('volume', action, { id: name, name, labels }, {});
  }

  machine(id: string, action: EventAction<'machine'>, attributes: Attributes = {}): void {
    this.#raise('machine', action, { id, name: id }, attributes);
  }

  daemon(action: EventAction<'daemon'>, attributes: Attributes = {}): void {
    this.#raise('daemon', action, { id: String(process.pid), name: 'hyperd' }, attributes);
  }

  /** See `EventLog.follow`. */
  follow(options: FollowOptions): AsyncIterable<HyperEvent> {
    return this.#log.follow(options);
  }

  #raise<T extends EventType>(
    type: T,
    action: EventAction<T>,
    { labels, ...subject }: { readonly id: string; readonly name: string; readonly labels?: Labels },
    attributes: Attributes,
  ): void {
    const known = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== '');
    this.#log.raise({
      ...{ type, action, ...subject },
      ...(labels && Object.keys(labels).length > 0 ? { labels } : {}),
      attributes: Object.fromEntries(
        known.map(([key, value]) => [key, String(value).slice(0, MAX_VALUE_LENGTH)]),
      ),
    });
  }
}
