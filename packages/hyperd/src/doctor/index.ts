export { createChecks } from './checks.ts';
export { type Check, createDoctor, type Doctor, type Report, type ReportedAilment } from './doctor.ts';
