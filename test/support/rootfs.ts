import { open, readFile, rm } from 'node:fs/promises';
import { writeErofs } from '../../packages/hyperd/src/images/layers/erofs.ts';
import { BLOCK_BYTES } from '../../packages/hyperd/src/images/layers/layer-index.ts';
import { LayerWriter, UnpackBudget } from '../../packages/hyperd/src/images/layers/layer-writer.ts';
import { applyLayer, emptyRoot } from '../../packages/hyperd/src/images/layers/tree.ts';

/** Writes the layers' tars as one file system image, metadata and contents in one file. */
export async function writeRootfs(path: string, tars: readonly Buffer[]): Promise<void> {
  const root = emptyRoot();
  const contents: Buffer[] = [];
  const layerBases: number[] = [];
  let contentBlocks = 0;
  for (const [index, tar] of tars.entries()) {
    const data = `${path}.layer`;
    const file = await open(data, 'w');
    const writer = new LayerWriter(file, new UnpackBudget(tar.length), `layer ${index}`);
    await writer.write(tar);
    const { entries, dataBytes } = await writer.finish();
    await file.close();
    applyLayer(root, entries, index);
    contents.push(await readFile(data));
    await rm(data);
    layerBases.push(contentBlocks);
    contentBlocks += dataBytes / BLOCK_BYTES;
  }
  await using image = await open(path, 'w');
  await writeErofs(image, root, { layerBases, contentBlocks });
  for (const bytes of contents) await image.appendFile(bytes);
}
