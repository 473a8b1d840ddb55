// UpdateFeatures (57), v0–2 (KIP-584, KIP-778).
// The levels of features are those of the release (src/cluster/features.ts): to ask for the level in force succeeds, every other one is
// refused with the reason. A refusal is one for all features, in every version.
import { KafkaError } from '../../protocol/errors.ts'
import { UpdateFeatures } from '../../protocol/messages/57-update-features.ts'
import type { UpdateFeaturesRequest, UpdateFeaturesResponse } from '../../protocol/messages/57-update-features.ts'
import { features } from '../cluster/features.ts'
import type { Handler } from './handler.ts'

type Update = UpdateFeaturesRequest['featureUpdates'][number]

const UPGRADE = 1
const UNSAFE_DOWNGRADE = 3
/** From here on an answer names no features (KIP-1022). */
const NO_RESULTS_SINCE = 2

export const updateFeatures: Handler<UpdateFeaturesRequest, UpdateFeaturesResponse> = {
  api: UpdateFeatures,
  versions: [0, 2],

  handle(request, { apiVersion }) {
    const results = request.featureUpdates.map((update) => ({ feature: update.feature, ...verdict(update, apiVersion) }))
    const failed = results.find(({ errorCode }) => errorCode !== KafkaError.NONE)
    if (failed === undefined) return { errorMessage: null, results: apiVersion < NO_RESULTS_SINCE ? results : [] }
    const { feature, errorCode, errorMessage } = failed
    return {
      errorCode,
      errorMessage: `The update failed for all features since the following feature had an error: ${feature}: ${errorMessage}`,
      results: [],
    }
  },

  onError: (_request, errorCode) => ({ errorCode, errorMessage: null, results: [] }),
}

function verdict({ feature, maxVersionLevel: level, upgradeType }: Update, apiVersion: number): { errorCode: number; errorMessage: string | null } {
  const refused = (reason: string) => ({
    errorCode: KafkaError.INVALID_UPDATE_VERSION,
    errorMessage: `Invalid update version ${level} for feature ${feature}. ${reason}`,
  })
  if (apiVersion > 0 && !(upgradeType >= UPGRADE && upgradeType <= UNSAFE_DOWNGRADE)) {
    return { errorCode: KafkaError.INVALID_UPDATE_VERSION, errorMessage: 'The given upgrade type is not supported.' }
  }
  if (level < 0) return refused('A feature version cannot be less than 0.')
  const known = features.find(({ name }) => name === feature)
  if (known === undefined) return refused('This broker does not support this feature.')
  if (level < known.min || level > known.max) return refused(`This broker only supports versions ${known.min} to ${known.max}.`)
  if (level !== known.finalized) return refused(`The level is fixed at ${known.finalized} by this release.`)
  return { errorCode: KafkaError.NONE, errorMessage: null }
}
