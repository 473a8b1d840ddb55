/**
 * DescribeConfigs (key 32): the configs of topics, brokers and other resources (KIP-133).
 * v1 adds sources and synonyms (KIP-226), v3 types and documentation (KIP-569), v4 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableArray, nullableString, string, struct } from '../schema/field.ts'

export const DescribeConfigs = defineApi({
  key: 32,
  name: 'DescribeConfigs',
  versions: [1, 4],
  flexible: 4,
  request: struct({
    resources: array(struct({
      resourceType: int8,
      resourceName: string,
      configurationKeys: nullableArray(string),
    })),
    includeSynonyms: boolean.default(false),
    includeDocumentation: boolean.since(3).default(false),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    results: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString,
      resourceType: int8,
      resourceName: string,
      configs: array(struct({
        name: string,
        value: nullableString,
        readOnly: boolean,
        configSource: int8.default(-1),
        isSensitive: boolean,
        synonyms: array(struct({
          name: string,
          value: nullableString,
          source: int8,
        })),
        configType: int8.since(3).default(0),
        documentation: nullableString.since(3),
      })),
    })),
  }),
})

export type DescribeConfigsRequest = RequestOf<typeof DescribeConfigs>
export type DescribeConfigsResponse = ResponseOf<typeof DescribeConfigs>
