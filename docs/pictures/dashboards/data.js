// A panel's queries, asked as Grafana's data source asks Prometheus, and the data frames that it makes of the answers.

import {
  FieldMatcherID, FieldType, getFieldDisplayName, getFieldMatcher, standardTransformers, toDataFrame,
} from '@grafana/data';
import { lastValueFrom, of } from 'rxjs';

const parameters = new URLSearchParams(location.search);
/** Seconds: of the time range, and between two points of it. */
const RANGE = Number(parameters.get('range') ?? 300);
const STEP = 1;
export const to = Math.floor(Date.now() / 1000);
export const from = to - RANGE;

const VARIABLES = [
  ['$__rate_interval', '20s'],
  ['$__range_s', RANGE],
  ['$__range', `${RANGE}s`],
  ['$job', '.+'],
  ['$instance', '.+'],
  ['$node', parameters.get('node') ?? '.+'],
];

async function ask(kind, query) {
  const response = await fetch(`/api/v1/${kind}?${new URLSearchParams(query)}`);
  const { data, error } = await response.json();
  if (error) throw new Error(`${query.query}: ${error}`);
  return data.result;
}

/** Samples of each series; an instant query gives one sample each. */
async function seriesOf({ expr, instant }) {
  const query = VARIABLES.reduce((text, [name, value]) => text.replaceAll(name, value), expr);
  if (!instant) return ask('query_range', { query, start: from, end: to, step: STEP });
  const result = await ask('query', { query, time: to });
  return result.map(({ metric, value }) => ({ metric, values: [value] }));
}

function legendOf({ legendFormat }, labels) {
  if (legendFormat) return legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
  return `{${Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ')}}`;
}

function timeSeries(target, { metric, values }) {
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: values.map(([at]) => at * 1000) },
      {
        name: 'Value',
        type: FieldType.number,
        values: values.map(([, value]) => Number(value)),
        labels: metric,
        config: { displayNameFromDS: legendOf(target, metric) },
      },
    ],
  });
}

function table({ refId }, series, valueName) {
  const names = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const labels = names.map((name) => ({
    name,
    type: FieldType.string,
    values: series.map(({ metric }) => metric[name] ?? ''),
  }));
  const [times, numbers] = [0, 1].map((at) => series.map(({ values }) => Number(values[0][at])));
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000) },
      ...labels,
      { name: valueName, type: FieldType.number, values: numbers },
    ],
  });
}

export async function framesOf({ targets = [] }) {
  const tables = targets.filter(({ format }) => format === 'table').length;
  const frames = await Promise.all(targets.map(async (target) => {
    const series = await seriesOf(target);
    if (target.format !== 'table') return series.map((it) => timeSeries(target, it));
    return series.length ? [table(target, series, tables > 1 ? `Value #${target.refId}` : 'Value')] : [];
  }));
  // Grafana's data source gives tables last.
  const isTable = (_, at) => targets[at].format === 'table';
  return [...frames.filter((it, at) => !isTable(it, at)), ...frames.filter(isTable)].flat();
}

/**
 * "Config from query results" with thresholds, which Grafana has in its application and not in a package: ours does
 * what the dashboards need of it.
 */
function thresholdsFromData({ configRefId, applyTo, mappings }, frames) {
  const source = frames.find(({ refId }) => refId === configRefId);
  if (!source) return frames;
  const named = (name) => source.fields.find((field) => getFieldDisplayName(field, source) === name);
  const steps = mappings.map(({ fieldName, handlerArguments }) => ({
    value: Number(named(fieldName).values.at(-1)),
    color: handlerArguments?.threshold?.color ?? 'red',
  }));
  const thresholds = { mode: 'absolute', steps };
  const isMeant = getFieldMatcher(applyTo ?? { id: FieldMatcherID.numeric });
  const told = (frame) => (field) =>
    isMeant(field, frame, frames) ? { ...field, config: { ...field.config, thresholds } } : field;
  const others = frames.filter((frame) => frame !== source);
  return others.map((frame) => ({ ...frame, fields: frame.fields.map(told(frame)) }));
}

export async function transformed({ transformations = [] }, frames) {
  for (const { id, options } of transformations) {
    if (id === 'configFromData') {
      frames = thresholdsFromData(options, frames);
      continue;
    }
    const { operator, defaultOptions } = Object.values(standardTransformers).find((it) => it.id === id);
    const context = { interpolate: (text) => text };
    frames = await lastValueFrom(operator({ ...defaultOptions, ...options }, context)(of(frames)));
  }
  return frames;
}
