import { hostUplinks } from './devices.ts';
import { runHostTool } from './host-tools.ts';

const CHAIN = 'DOCKER-USER';

/**
 * Docker has the host drop all forwarded packets but those of its own networks. The chain `DOCKER-USER` is where it lets others have a say: where the
 * host has it, rules there let pods reach the world and be reached; what is to reach them is for our own table to judge. They bear the root's
 * mark as their comment. Docker's networks stay closed to pods. Every call may be repeated.
 */
export class DockerUser {
  readonly #comment: string;

  constructor(mark: string) {
    this.#comment = `hyperd_${mark}`;
  }

  /** Lets the packets of a bridge pass. */
  async admit(bridge: string): Promise<void> {
    const known = await this.#rules();
    if (!known) return;
    const uplinks = await hostUplinks();
    const wanted = [['-o', bridge], ...uplinks.map((device) => ['-i', bridge, '-o', device])];
    for (const match of wanted)
      if (!known.some((rule) => rule.startsWith(`${match.join(' ')} -m`))) await this.#change('-I', match);
  }

  /** Takes back what was for one bridge, or for all. */
  async withdraw(bridge?: string): Promise<void> {
    for (const rule of (await this.#rules()) ?? []) {
      const match = rule.slice(0, rule.indexOf(' -m')).split(' ');
      if (bridge === undefined || match.includes(bridge)) await this.#change('-D', match);
    }
  }

  #change(verb: '-I' | '-D', match: readonly string[]): Promise<string> {
    const rule = [...match, '-m', 'comment', '--comment', this.#comment, '-j', 'ACCEPT'];
    return runHostTool('iptables', ['-w', verb, CHAIN, ...rule]);
  }

  /** Our rules, without the chain's name; undefined: the host has no such chain, or not even iptables. */
  async #rules(): Promise<string[] | undefined> {
    let listed: string;
    try {
      listed = await runHostTool('iptables', ['-w', '-S', CHAIN]);
    } catch {
      return undefined;
    }
    return listed
      .split('\n')
      .filter((line) => line.startsWith(`-A ${CHAIN} `) && line.includes(this.#comment))
      .map((line) => line.slice(`-A ${CHAIN} `.length));
  }
}
