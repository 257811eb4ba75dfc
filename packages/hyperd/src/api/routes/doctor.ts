import { json, type Route } from '../call.ts';
import { flag, ofSchema } from '../describe.ts';
import { DoctorReport, doctorReport } from '../shapes/doctor-schemas.ts';
import type { RouteContext } from './context.ts';

const VERIFY = { verify: flag('every byte of every image is compared with its digest, too') };

/** What is out of joint on the host; the original has none of these. */
export function doctorRoutes({ doctor }: RouteContext): Route[] {
  const answers = { 200: ofSchema(DoctorReport, 'what was found') };
  return [
    {
      ...{ method: 'GET', path: '/doctor', parameters: VERIFY, answers },
      summary: 'Tells what of the daemon is out of joint on its host',
      handle: async ({ parameters }) =>
        json(200, doctorReport(await doctor.examine({ verify: parameters.flag('verify'), mend: false }))),
    },
    {
      ...{ method: 'POST', path: '/doctor/repair', parameters: VERIFY, answers },
      summary: 'The same, and mends what can be mended; may be repeated',
      handle: async ({ parameters }) =>
        json(200, doctorReport(await doctor.examine({ verify: parameters.flag('verify'), mend: true }))),
    },
  ];
}
